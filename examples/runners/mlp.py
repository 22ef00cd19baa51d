"""A multilayer perceptron in Python that Backproof can verify; NumPy and the standard library.

    backproof smoke "cmd:python examples/runners/mlp.py"
    backproof check "cmd:python examples/runners/mlp.py"

It speaks the protocol of docs/protocol.md: one JSON object a line, on stdin and stdout.
The part to replace by your own is `train_step`; the rest reads and writes messages.
"""

import base64
import json
import sys

import numpy as np

# --- tensors: little-endian, in C order, in base64 ---------------------------------------


def received(tensor):
    entries = np.frombuffer(base64.b64decode(tensor["data"]), "<f8")
    return entries.reshape(tensor["shape"])


def sent(x):
    x = np.asarray(x, "<f8")
    data = base64.b64encode(x.tobytes()).decode()
    return {"dtype": "float64", "shape": list(x.shape), "data": data}


# --- operators: forward(x, own) -> y, backward(x, y, y_bar, own) -> (x_bar, gradients) ----


class Dense:
    @staticmethod
    def forward(x, own):
        return x @ own["weight"].T + own.get("bias", 0)

    @staticmethod
    def backward(x, y, y_bar, own):
        rows = y_bar.reshape(-1, y_bar.shape[-1])
        found = {"weight": rows.T @ x.reshape(-1, x.shape[-1]), "bias": rows.sum(0)}
        return y_bar @ own["weight"], {name: found[name] for name in own}


class Entrywise:
    def __init__(self, f, slope):
        self.f, self.slope = f, slope

    def forward(self, x, own):
        return self.f(x)

    def backward(self, x, y, y_bar, own):
        return y_bar * self.slope(x, y), {}


OPERATORS = {
    "dense": Dense,
    "relu": Entrywise(lambda x: np.maximum(x, 0), lambda x, y: x > 0),
    "tanh": Entrywise(np.tanh, lambda x, y: 1 - y * y),
    "sigmoid": Entrywise(lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y)),
}


def squared_error(y, target, reduction):
    scale = {"half_sum": 0.5, "sum": 1, "mean": 1 / y.size, "batch_mean": 1 / len(y)}
    s, r = scale[reduction], y - target
    return s * np.sum(r * r), 2 * s * r


# --- one case ----------------------------------------------------------------------------


def train_step(architecture, run):
    layers = architecture["layers"]
    own = [
        {key: received(run["parameters"][name]) for key, name in layer["parameters"].items()}
        for layer in layers
    ]
    edges = [received(run["input"])]
    for i, layer in enumerate(layers):
        edges.append(OPERATORS[layer["op"]].forward(edges[i], own[i]))
    target = received(run["targets"]["loss"])
    reduction = architecture["losses"][0]["reduction"]
    loss, bar = squared_error(edges[-1], target, reduction)
    gradients = {}
    for i, layer in reversed(list(enumerate(layers))):
        operator = OPERATORS[layer["op"]]
        bar, found = operator.backward(edges[i], edges[i + 1], bar, own[i])
        for key, g in found.items():
            gradients[layer["parameters"][key]] = sent(g)
    gradients["input"] = sent(bar)
    return {"kind": "gradients", "loss": sent(loss), "gradients": gradients}


# --- the conversation --------------------------------------------------------------------


def hello():
    return {
        "kind": "hello",
        "protocol": 1,
        "name": "mlp.py",
        "operators": list(OPERATORS),
        "losses": ["squared_error"],
        "penalties": [],
        "graphs": False,
        "gives": ["input"],
    }


def main():
    architecture = None
    for line in sys.stdin:
        request = json.loads(line)
        match request["kind"]:
            case "stop":
                break
            case "hello":
                answer = hello()
            case "prepare":
                architecture, answer = request["architecture"], {"kind": "ready"}
            case "run":
                answer = train_step(architecture, request)
            case kind:
                answer = {"kind": "error", "reason": f"unknown request {kind}"}
        print(json.dumps({**answer, "seq": request["seq"]}), flush=True)


if __name__ == "__main__":
    main()
