"""The share of wrong gradients that each checker catches, drawn by the size of the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

Curve = Mapping[str, Sequence[float]]
"""For each checker the shares caught, in the order of the errors."""

CARD, INK, FAINT = "#ffffff", "#24292f", "#8c959f"
"""A white card, so that the page around it may be light or dark."""

LOOKS: tuple[tuple[str, Any], ...] = (
    ("#0550ae", "-"),
    ("#bc4c00", (0, (5, 2))),
    ("#953800", (0, (1, 1.2))),
    ("#116329", (0, (7, 2, 1, 2))),
    ("#8250df", (0, (3, 1.5))),
    ("#6e7781", (0, (1, 2.5))),
    ("#a40e26", (0, (4, 1, 1, 1, 1, 1))),
)


FAR_LEFT, NAMES_AT, MIDDLE = -9.0, -9.6, 50.0
"""Powers of ten left of which a curve is far from the others, and where their names stand."""


def draw(path: Path, errors: Sequence[float], panels: Mapping[str, Curve]) -> None:
    """One panel for each kind of error; the curves are labelled where they fall."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "backproof", "font.size": 9,
        "font.family": "sans-serif", "text.color": INK, "axes.labelcolor": INK,
        "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT,
    }  # fmt: skip
    with plt.rc_context(settings):
        figure, axes = plt.subplots(
            len(panels), 1, figsize=(7.2, 3.5 * len(panels)), layout="constrained", squeeze=False
        )
        figure.set_facecolor(CARD)
        for ax, (title, curve) in zip(axes[:, 0], panels.items(), strict=True):
            _panel(ax, title, errors, curve)
        axes[-1, 0].set_xlabel("relative error of the gradient, as a power of ten")
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def _panel(ax: Any, title: str, errors: Sequence[float], curve: Curve) -> None:
    x = np.log10(errors)
    order = np.argsort(x)
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.set_facecolor(CARD)
    ax.set(xlim=(x.min() - 0.6, x.max() + 0.3), ylim=(-4, 104), ylabel="caught, %")
    ax.set_xticks(x[order], [f"{v:.0f}" for v in x[order]])
    ax.grid(axis="y", color="#d0d7de", linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    falls = {}
    for (name, shares), (colour, dashes) in zip(curve.items(), LOOKS, strict=False):
        y = 100 * np.asarray(shares)
        ax.plot(x[order], y[order], color=colour, linestyle=dashes, linewidth=1.8)
        falls[name] = (x[order], y[order], colour)
    _labels(ax, falls)


def _labels(ax: Any, falls: Mapping[str, tuple[Any, Any, str]]) -> None:
    """Each name in the empty middle, at a height of its own, tied to its curve.

    A curve that never gets high is named low, and one that falls on the far left beside itself.
    """
    far = [name for name, (x, y, _) in falls.items() if _crossing(x, y, MIDDLE) < FAR_LEFT]
    near = sorted(falls.keys() - far, key=lambda name: _reach(*falls[name][:2]))
    places = {name: float(h) for name, h in zip(near, np.linspace(10, 90, len(near)), strict=True)}
    for name, height in [*((name, MIDDLE) for name in far), *places.items()]:
        x, y, colour = falls[name]
        low, high = float(y.min()), float(y.max())
        on_curve = min(max(height, low), low + 0.85 * (high - low))
        at = _crossing(x, y, on_curve)
        where = at + 0.7 if name in far else NAMES_AT
        ax.annotate(
            name, (at, on_curve), (where, height), color=colour, va="center", ha="left",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 3,
                        "shrinkB": 0},
        )  # fmt: skip
        ax.plot([at], [on_curve], "o", color=colour, markersize=3.5)


def _reach(x: Any, y: Any) -> tuple[bool, float, float]:
    """Curves in the order of their names, from below: those that stay low, then from the left."""
    return bool(y.max() > MIDDLE), _crossing(x, y, MIDDLE), float(-y.sum())


def _crossing(x: Any, y: Any, height: float) -> float:
    """Where a curve first reaches a height, from the left; its right end if it never does."""
    for i in range(len(x)):
        if y[i] >= height:
            if i == 0:
                return float(x[0])
            return float(x[i - 1] + (x[i] - x[i - 1]) * (height - y[i - 1]) / (y[i] - y[i - 1]))
    return float(x[-1])
