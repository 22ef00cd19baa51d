/* A multilayer perceptron in C that Backproof can verify: one file, no libraries.

       cc -O2 -o mlp examples/runners/mlp.c -lm
       backproof smoke cmd:./mlp
       backproof check cmd:./mlp

   It speaks the protocol of docs/protocol.md: one JSON object a line, on stdin and stdout.
   The part to replace by your own is `train_step`; the rest reads and writes messages. */

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- JSON, as much as the protocol needs ------------------------------------------------- */

typedef enum { NOTHING, NUMBER, STRING, LIST, OBJECT } Kind;

typedef struct Json {
    Kind kind;
    double number;      /* also 0 and 1 for false and true */
    char *text;         /* a string */
    char *key;          /* this value's name, where it is in an object */
    struct Json *first; /* the first entry of a list or an object */
    struct Json *next;  /* the entry after this one */
} Json;

static Json *parse(char **at);

static void fail(const char *why) {
    fprintf(stderr, "mlp: %s\n", why);
    exit(1);
}

static void *get(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) fail("out of memory");
    return memory;
}

static void blanks(char **at) {
    while (isspace((unsigned char)**at)) ++*at;
}

static char *parse_string(char **at) {
    char *text = get(strlen(*at)), *to = text;
    for (++*at; **at && **at != '"'; ++*at) {
        if (**at == '\\') ++*at; /* no name of the protocol needs more */
        *to++ = **at;
    }
    if (**at) ++*at;
    return text;
}

static Json *parse_entries(char **at, Json *whole, char end) {
    Json **tail = &whole->first;
    ++*at;
    for (blanks(at); **at && **at != end; blanks(at)) {
        char *key = NULL;
        if (whole->kind == OBJECT) {
            key = parse_string(at);
            blanks(at);
            if (**at == ':') ++*at;
        }
        *tail = parse(at);
        (*tail)->key = key;
        tail = &(*tail)->next;
        blanks(at);
        if (**at == ',') ++*at;
    }
    if (**at) ++*at;
    return whole;
}

static Json *parse(char **at) {
    Json *value = get(sizeof *value);
    blanks(at);
    if (**at == '{') {
        value->kind = OBJECT;
        return parse_entries(at, value, '}');
    }
    if (**at == '[') {
        value->kind = LIST;
        return parse_entries(at, value, ']');
    }
    if (**at == '"') {
        value->kind = STRING;
        value->text = parse_string(at);
    } else if (!strncmp(*at, "true", 4) || !strncmp(*at, "null", 4)) {
        value->kind = **at == 't' ? NUMBER : NOTHING;
        value->number = **at == 't';
        *at += 4;
    } else if (!strncmp(*at, "false", 5)) {
        value->kind = NUMBER;
        *at += 5;
    } else {
        char *end;
        value->kind = NUMBER;
        value->number = strtod(*at, &end);
        if (end == *at) fail("a message that is not JSON");
        *at = end;
    }
    return value;
}

static void release(Json *value) {
    while (value) {
        Json *next = value->next;
        release(value->first);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}

static Json *in(Json *object, const char *key) {
    Json *entry = object ? object->first : NULL;
    while (entry && (!entry->key || strcmp(entry->key, key))) entry = entry->next;
    if (!entry) fail(key);
    return entry;
}

static int is(Json *value, const char *text) {
    return value->kind == STRING && !strcmp(value->text, text);
}

static int length(Json *list) {
    int count = 0;
    for (Json *entry = list->first; entry; entry = entry->next) ++count;
    return count;
}

/* --- tensors ----------------------------------------------------------------------------- */

typedef struct {
    int rows, columns; /* all axes but the last, and the last */
    double *at;
} Matrix;

static Matrix matrix(int rows, int columns) {
    Matrix m = {rows, columns, get(sizeof(double) * rows * columns)};
    return m;
}

static Matrix received(Json *tensor) {
    int columns = 1, size = 1, i = 0;
    for (Json *n = in(tensor, "shape")->first; n; n = n->next) size *= columns = (int)n->number;
    Matrix m = matrix(columns ? size / columns : 0, columns);
    for (Json *n = in(tensor, "values")->first; n; n = n->next) m.at[i++] = n->number;
    return m;
}

static void send_numbers(const double *at, int count) {
    for (int i = 0; i < count; ++i) {
        if (i) putchar(',');
        if (isfinite(at[i])) printf("%.17g", at[i]);
        else printf(isnan(at[i]) ? "\"nan\"" : at[i] > 0 ? "\"inf\"" : "\"-inf\"");
    }
}

static void send_gradient(const char *name, int vector, Matrix m, int *first) {
    printf("%s\"%s\":{\"dtype\":\"float64\",\"shape\":[", *first ? "" : ",", name);
    if (!vector) printf("%d,", m.rows);
    printf("%d],\"values\":[", m.columns);
    send_numbers(m.at, m.rows * m.columns);
    printf("]}");
    *first = 0;
}

/* --- the network: forward, loss, backward ------------------------------------------------- */

static Matrix dense(Matrix x, Matrix w, const double *b) {
    Matrix y = matrix(x.rows, w.rows);
    for (int n = 0; n < x.rows; ++n)
        for (int k = 0; k < w.rows; ++k) {
            double sum = b ? b[k] : 0;
            for (int j = 0; j < x.columns; ++j)
                sum += x.at[n * x.columns + j] * w.at[k * x.columns + j];
            y.at[n * w.rows + k] = sum;
        }
    return y;
}

static Matrix activation(Json *layer, Matrix x) {
    Matrix y = matrix(x.rows, x.columns);
    for (int i = 0; i < x.rows * x.columns; ++i)
        y.at[i] = is(in(layer, "op"), "tanh") ? tanh(x.at[i]) : x.at[i] > 0 ? x.at[i] : 0;
    return y;
}

/* y_bar becomes the cotangent of what went in. */
static void activation_backward(Json *layer, Matrix y, Matrix y_bar) {
    for (int i = 0; i < y.rows * y.columns; ++i)
        y_bar.at[i] *= is(in(layer, "op"), "tanh") ? 1 - y.at[i] * y.at[i] : y.at[i] > 0;
}

static double squared_error(Json *loss, Matrix y, const double *target, int batch, Matrix y_bar) {
    Json *reduction = in(loss, "reduction");
    int size = y.rows * y.columns;
    double sum = 0, scale = is(reduction, "half_sum") ? 0.5 : 1;
    if (is(reduction, "mean")) scale = 1.0 / size;
    if (is(reduction, "batch_mean")) scale = 1.0 / batch;
    for (int i = 0; i < size; ++i) {
        double r = y.at[i] - target[i];
        sum += r * r;
        y_bar.at[i] = 2 * scale * r;
    }
    return scale * sum;
}

/* Loss and gradients of one case, written to stdout. */
static void train_step(Json *architecture, Json *run, int seq) {
    Json *layers = in(architecture, "layers"), *parameters = in(run, "parameters");
    int depth = length(layers), i = 0, first = 1;
    Matrix *edges = get(sizeof *edges * (depth + 1));
    Json **layer = get(sizeof *layer * (depth + 1));

    edges[0] = received(in(run, "input"));
    for (Json *l = layers->first; l; l = l->next, ++i) {
        layer[i] = l;
        if (is(in(l, "op"), "dense")) {
            Json *own = in(l, "parameters");
            Matrix w = received(in(parameters, in(own, "weight")->text));
            Matrix b = {0, 0, NULL};
            if (in(l, "bias")->number) b = received(in(parameters, in(own, "bias")->text));
            edges[i + 1] = dense(edges[i], w, b.at);
            free(w.at);
            free(b.at);
        } else {
            edges[i + 1] = activation(l, edges[i]);
        }
    }

    Json *loss = in(architecture, "losses")->first;
    Matrix target = received(in(in(run, "targets"), "loss"));
    Matrix y_bar = matrix(edges[depth].rows, edges[depth].columns);
    int batch = (int)in(architecture, "input")->first->number;
    double value = squared_error(loss, edges[depth], target.at, batch, y_bar);

    printf("{\"kind\":\"gradients\",\"seq\":%d,\"loss\":", seq);
    if (isfinite(value)) printf("%.17g", value);
    else printf("{\"dtype\":\"float64\",\"shape\":[],\"values\":[\"inf\"]}");
    printf(",\"gradients\":{");
    for (i = depth - 1; i >= 0; --i) {
        if (!is(in(layer[i], "op"), "dense")) {
            activation_backward(layer[i], edges[i + 1], y_bar);
            continue;
        }
        Json *own = in(layer[i], "parameters");
        Matrix x = edges[i], w = received(in(parameters, in(own, "weight")->text));
        Matrix w_bar = matrix(w.rows, w.columns), b_bar = matrix(1, w.rows);
        Matrix x_bar = matrix(x.rows, x.columns);
        for (int n = 0; n < x.rows; ++n)
            for (int k = 0; k < w.rows; ++k) {
                double d = y_bar.at[n * w.rows + k];
                b_bar.at[k] += d;
                for (int j = 0; j < x.columns; ++j) {
                    w_bar.at[k * x.columns + j] += d * x.at[n * x.columns + j];
                    x_bar.at[n * x.columns + j] += d * w.at[k * x.columns + j];
                }
            }
        send_gradient(in(own, "weight")->text, 0, w_bar, &first);
        if (in(layer[i], "bias")->number) send_gradient(in(own, "bias")->text, 1, b_bar, &first);
        free(w.at);
        free(w_bar.at);
        free(b_bar.at);
        free(y_bar.at);
        y_bar = x_bar;
    }
    free(y_bar.at);
    free(target.at);
    for (i = 0; i <= depth; ++i) free(edges[i].at);
    free(edges);
    free(layer);
    puts("}}");
}

/* --- the conversation --------------------------------------------------------------------- */

int main(void) {
    char *line = NULL;
    size_t room = 0;
    Json *prepared = NULL;
    while (getline(&line, &room, stdin) > 0) {
        char *at = line;
        Json *request = parse(&at);
        Json *kind = in(request, "kind");
        int seq = (int)in(request, "seq")->number;
        if (is(kind, "hello")) {
            printf("{\"kind\":\"hello\",\"seq\":%d,\"protocol\":1,\"name\":\"mlp.c\","
                   "\"operators\":[\"dense\",\"relu\",\"tanh\"],\"losses\":[\"squared_error\"],"
                   "\"penalties\":[],\"graphs\":false,\"encoding\":\"decimal\"}\n", seq);
        } else if (is(kind, "prepare")) {
            release(prepared);
            prepared = request;
            request = NULL;
            printf("{\"kind\":\"ready\",\"seq\":%d}\n", seq);
        } else if (is(kind, "run")) {
            train_step(in(prepared, "architecture"), request, seq);
        } else if (is(kind, "stop")) {
            break;
        } else {
            printf("{\"kind\":\"error\",\"seq\":%d,\"reason\":\"unknown request\"}\n", seq);
        }
        fflush(stdout);
        release(request);
    }
    release(prepared);
    free(line);
    return 0;
}
