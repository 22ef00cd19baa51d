"""A multilayer perceptron by hand: the subject of this example.  Put your own in its place.

`backproof gate py:my_net:Net` is green.  `py:my_net:Wrong` is the same with one mistake, to see
the gate go red before it is trusted.
"""

import numpy as np


class Net:
    """Dense layers and tanh, the squared error."""

    def describe(self):
        return {
            "name": "my net",
            "operators": ["dense", "tanh"],
            "losses": ["squared_error"],
            "penalties": [],
            "graphs": False,  # chains only
        }

    def gradients(self, case):
        a, edges = case.architecture, [case.input]
        for i, layer in enumerate(a.layers):
            if layer.name == "dense":
                y = edges[-1] @ case.parameters[f"layers.{i}.weight"].T
                edges.append(y + case.parameters[f"layers.{i}.bias"] if layer.bias else y)
            else:
                edges.append(np.tanh(edges[-1]))
        r = edges[-1] - case.target
        scale = {"half_sum": 0.5, "sum": 1.0, "mean": 1 / r.size, "batch_mean": 1 / len(r)}
        scale = scale[a.loss.reduction]
        loss, bar, found = scale * np.sum(r * r), 2 * scale * r, {}
        for i, layer in reversed(list(enumerate(a.layers))):
            if layer.name == "dense":
                x, units = edges[i], layer.units
                rows = bar.reshape(-1, units)
                found[f"layers.{i}.weight"] = rows.T @ x.reshape(len(rows), -1)
                if layer.bias:
                    found[f"layers.{i}.bias"] = self.bias(rows)
                bar = bar @ case.parameters[f"layers.{i}.weight"]
            else:
                bar = bar * (1 - edges[i + 1] ** 2)
        return loss, found

    def bias(self, rows):
        """The gradient of a bias that is added to every row: their sum."""
        return rows.sum(0)


class Wrong(Net):
    """The mistake: an average over the batch is not its sum."""

    def bias(self, rows):
        return rows.mean(0)
