// A multilayer perceptron in JavaScript that Backproof can verify; Node, no packages.
//
//     backproof smoke "cmd:node examples/runners/mlp.mjs"
//     backproof check "cmd:node examples/runners/mlp.mjs"
//
// It speaks the protocol of docs/protocol.md: one JSON object a line, on stdin and stdout.
// The part to replace by your own is `trainStep`; the rest reads and writes messages.

import { createInterface } from "node:readline";

// --- tensors: {shape, at}, `at` a Float64Array in C order ---------------------------------

function received({ shape, data }) {
  const bytes = Buffer.from(data, "base64");
  const at = new Float64Array(bytes.length / 8);
  for (let i = 0; i < at.length; i++) at[i] = bytes.readDoubleLE(8 * i);
  return { shape, at };
}

function sent({ shape, at }) {
  const bytes = Buffer.alloc(8 * at.length);
  at.forEach((value, i) => bytes.writeDoubleLE(value, 8 * i));
  return { dtype: "float64", shape, data: bytes.toString("base64") };
}

const like = (x) => ({ shape: x.shape, at: new Float64Array(x.at.length) });

// --- operators: forward(x, own) -> y, backward(x, y, yBar, own) -> {xBar, ...gradients} ----

const OPERATORS = {
  dense: {
    forward(x, { weight, bias }) {
      const [units, features] = weight.shape;
      const rows = x.at.length / features;
      const at = new Float64Array(rows * units);
      for (let n = 0; n < rows; n++)
        for (let k = 0; k < units; k++) {
          let sum = bias ? bias.at[k] : 0;
          for (let j = 0; j < features; j++)
            sum += x.at[n * features + j] * weight.at[k * features + j];
          at[n * units + k] = sum;
        }
      return { shape: [...x.shape.slice(0, -1), units], at };
    },
    backward(x, y, yBar, { weight, bias }) {
      const [units, features] = weight.shape;
      const found = { xBar: like(x), weight: like(weight) };
      if (bias) found.bias = like(bias);
      for (let n = 0; n < x.at.length / features; n++)
        for (let k = 0; k < units; k++) {
          const d = yBar.at[n * units + k];
          if (bias) found.bias.at[k] += d;
          for (let j = 0; j < features; j++) {
            found.weight.at[k * features + j] += d * x.at[n * features + j];
            found.xBar.at[n * features + j] += d * weight.at[k * features + j];
          }
        }
      return found;
    },
  },
  relu: entrywise((x) => Math.max(x, 0), (x) => (x > 0 ? 1 : 0)),
  tanh: entrywise(Math.tanh, (x, y) => 1 - y * y),
  sigmoid: entrywise((x) => 1 / (1 + Math.exp(-x)), (x, y) => y * (1 - y)),
};

function entrywise(f, slope) {
  return {
    forward: (x) => ({ shape: x.shape, at: x.at.map((value) => f(value)) }),
    backward: (x, y, yBar) => ({
      xBar: { shape: x.shape, at: yBar.at.map((d, i) => d * slope(x.at[i], y.at[i])) },
    }),
  };
}

function squaredError(y, target, reduction) {
  const scale = { half_sum: 0.5, sum: 1, mean: 1 / y.at.length, batch_mean: 1 / y.shape[0] };
  const s = scale[reduction];
  const residuals = y.at.map((value, i) => value - target.at[i]);
  const loss = s * residuals.reduce((sum, r) => sum + r * r, 0);
  return { loss, yBar: { shape: y.shape, at: residuals.map((r) => 2 * s * r) } };
}

// --- one case -----------------------------------------------------------------------------

function trainStep(architecture, run) {
  const own = architecture.layers.map(({ parameters }) =>
    Object.fromEntries(
      Object.entries(parameters).map(([key, name]) => [key, received(run.parameters[name])]),
    ),
  );
  const edges = [received(run.input)];
  architecture.layers.forEach((layer, i) => {
    edges.push(OPERATORS[layer.op].forward(edges[i], own[i]));
  });
  const target = received(run.targets.loss);
  const { loss, yBar } = squaredError(edges.at(-1), target, architecture.losses[0].reduction);
  const gradients = {};
  let bar = yBar;
  for (let i = architecture.layers.length - 1; i >= 0; i--) {
    const layer = architecture.layers[i];
    const { xBar, ...found } = OPERATORS[layer.op].backward(edges[i], edges[i + 1], bar, own[i]);
    for (const [key, g] of Object.entries(found)) gradients[layer.parameters[key]] = sent(g);
    bar = xBar;
  }
  gradients.input = sent(bar);
  return { kind: "gradients", loss: sent({ shape: [], at: Float64Array.of(loss) }), gradients };
}

// --- the conversation ---------------------------------------------------------------------

let architecture = null;

function answer(request) {
  switch (request.kind) {
    case "hello":
      return {
        kind: "hello",
        protocol: 1,
        name: "mlp.mjs",
        operators: Object.keys(OPERATORS),
        losses: ["squared_error"],
        penalties: [],
        graphs: false,
        gives: ["input"],
      };
    case "prepare":
      architecture = request.architecture;
      return { kind: "ready" };
    case "run":
      return trainStep(architecture, request);
    default:
      return { kind: "error", reason: `unknown request ${request.kind}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.kind === "stop") break;
  process.stdout.write(JSON.stringify({ ...answer(request), seq: request.seq }) + "\n");
}
