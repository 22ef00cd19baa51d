"""What report.html draws: every drawing is inside its frame, and says what the numbers say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pytest
import streams
from helpers_networks import network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.checkers.comparison import Comparison
from backproof.checkers.outcome import producer
from backproof.reports.drawing import cells, spans, steps, timeline
from backproof.reports.drawing.histogram import (
    APART,
    HEIGHT,
    STRIP,
    WIDTH,
    Histogram,
    decades,
    histogram,
)
from backproof.reports.drawing.layering import Layout, isotonic, lay_out
from backproof.reports.drawing.network import MOST_LAYERS, Drawing, draw
from backproof.reports.drawing.scale import log_scale

INFINITY = float("inf")

# --- histograms -------------------------------------------------------------------------


def drawn(values: Iterable[float], limit: int, says: str, zero: str) -> Histogram:
    chart = histogram(values, limit, says, zero)
    assert chart is not None
    return chart


def test_values_are_counted_by_decade_with_zero_and_infinity_apart() -> None:
    chart = drawn([0.0, 0.0, 2e-3, 0.5, 5.0, float("inf"), float("nan")], 0, "bound", "exact")
    assert {b.label: b.count for b in chart.bars if b.count} == {
        "exact": 2, "1e-3 to 1e-2": 1, "1e-1 to 1e0": 1, "1e0 to 1e1": 1, "not finite": 2,
    }  # fmt: skip
    assert chart.total == 7 and chart.top == 2 and chart.limit.label == "bound"


def test_the_limit_stands_at_the_left_edge_of_its_decade() -> None:
    chart = drawn([1e-9, 0.0], -2, "1%", "exact")
    (edge,) = [b.x for b in chart.bars if b.label == "1e-2 to 1e-1"]
    assert chart.limit.x == pytest.approx(edge - 1, abs=0.2)


def test_bars_stay_inside_and_labels_apart() -> None:
    values = [0.0, float("inf"), 1e-300, 1e300, *(10.0**e for e in range(-20, 10))]
    chart = drawn(values, 0, "bound", "0")
    assert all(b.x >= 0 and b.x + b.width <= WIDTH and b.y >= 0 and b.width > 0 for b in chart.bars)
    assert all(b.y + b.height <= HEIGHT for b in chart.bars)
    xs = [t.x for t in chart.ticks]
    assert all(b - a >= APART - 0.2 for a, b in itertools.pairwise(xs))


def test_nothing_has_no_histogram() -> None:
    assert histogram([], 0, "bound", "0") is None


def test_only_zeros_still_show_the_limit() -> None:
    chart = drawn([0.0], -2, "1%", "exact")
    assert [b.label for b in chart.bars] == ["exact", "1e-3 to 1e-2", "1e-2 to 1e-1"]


def test_a_strip_parts_what_is_within_its_bound_from_what_is_not() -> None:
    right = decades([0.0, 1e-9, 0.5])
    assert right.within and not right.beyond
    assert decades([2.0, INFINITY]).beyond and not decades([2.0, INFINITY]).within
    assert 0 < right.limit < STRIP[0]


# --- axes -------------------------------------------------------------------------------


def test_a_logarithmic_axis_places_decades_evenly_and_keeps_what_is_beyond_inside() -> None:
    scale = log_scale([2e-3, 40.0, INFINITY, 0.0], 100, 200)
    assert (scale.low, scale.high) == (-3, 2)
    assert [scale.place(10.0**k) for k in range(-3, 3)] == [100, 120, 140, 160, 180, 200]
    assert scale.place(1e-9) == 100 and scale.place(INFINITY) == 200
    assert scale.place(float("nan")) == 200
    marks = [t.label for t in scale.ticks(6)]
    assert marks == ["1e-3", "1e-2", "1e-1", "1e0", "1e1", "1e2"]
    assert len(log_scale([1e-300, 1e300], 0, 1).ticks(6)) <= 6
    assert log_scale([], 0, 1).high > log_scale([], 0, 1).low


# --- graphs in ranks --------------------------------------------------------------------


def test_isotonic_regression_never_falls_and_keeps_the_mean() -> None:
    assert isotonic([3, 1, 2, 5, 4]) == [2, 2, 2, 4.5, 4.5]
    assert isotonic([1, 2, 3]) == [1, 2, 3] and isotonic([]) == []


BRANCHED = {name: (40.0 + 9 * i, 20.0) for i, name in enumerate("abcdefg")}
EDGES = [
    ("a", "b"),
    ("a", "c"),
    ("b", "d"),
    ("c", "d"),
    ("a", "d"),
    ("d", "e"),
    ("b", "e"),
    ("f", "e"),
    ("e", "g"),
]


def test_ranks_go_down_and_boxes_do_not_touch() -> None:
    layout = lay_out(BRANCHED, EDGES)
    for a, b in EDGES:
        assert layout.places[a][1] + 20 < layout.places[b][1]
    apart(layout)
    assert layout.places["f"][1] == pytest.approx(layout.places["d"][1])  # just above its taker


def apart(layout: Layout) -> None:
    for (m, (x, y)), (n, (u, v)) in itertools.combinations(layout.places.items(), 2):
        wide = (BRANCHED[m][0] + BRANCHED[n][0]) / 2
        assert y != v or abs(x - u) >= wide
    for name, (x, y) in layout.places.items():
        half = BRANCHED[name][0] / 2
        assert half - 0.1 <= x <= layout.width - half + 0.1 and 10 <= y <= layout.height - 10


def test_an_edge_that_skips_ranks_runs_beside_what_it_skips() -> None:
    layout = lay_out(BRANCHED, EDGES)
    assert any(len(route) > 2 for route in layout.routes)
    for (a, b), route in zip(EDGES, layout.routes, strict=True):
        x, y = layout.places[a]
        assert route[0] == pytest.approx((x, y + 10), abs=0.2)
        x, y = layout.places[b]
        assert route[-1] == pytest.approx((x, y - 10), abs=0.2)
        for px, py in route[1:-1]:
            for x, y in (p for n, p in layout.places.items() if n not in (a, b)):
                assert abs(py - y) > 10.2 or abs(px - x) > 20


def test_a_chain_is_straight() -> None:
    sizes = {name: (30.0 + 20 * i, 20.0) for i, name in enumerate("abcde")}
    layout = lay_out(sizes, list(itertools.pairwise("abcde")))
    assert len({x for x, _ in layout.places.values()}) == 1


def test_nothing_is_laid_out_as_nothing() -> None:
    assert lay_out({}, []) == Layout(0.0, 0.0, {}, ())


# --- networks ---------------------------------------------------------------------------

NETWORKS = {
    "chain": network(ops.Dense(5), ops.Tanh(), ops.Dense(2), input=(4, 3)),
    "skips": streams.SKIP,
    "shared": Architecture(
        (2, 3), (ops.Dense(3), ops.Tanh(), ops.Dense(3, share="layers.0")), ls.SquaredError()
    ),
    "several losses": Architecture(
        (2, 3), (ops.Dense(3), ops.Tanh()), ls.SquaredError(), (ls.L1(0.1),),
        (ls.LogCosh(inputs=("layers.0.output",)),),
    ),
    "no input": Architecture(None, (ops.Variable((2, 3)), ops.Tanh()), ls.WeightedSum()),
    "deep": Architecture(
        (2, 3),
        (
            *(ops.Tanh() for _ in range(60)),
            ops.Add(inputs=("input", "layers.3.output", "layers.59.output")),
        ),
        ls.SquaredError(),
    ),
}  # fmt: skip


TENSORS = [(name, tensor) for name, a in NETWORKS.items() for tensor in (*a.tensors, "loss")]


def marked(drawing: Drawing) -> int:
    return sum(edge.wrong for edge in drawing.edges)


@pytest.mark.parametrize(("name", "tensor"), TENSORS)
def test_every_tensor_is_one_edge_that_can_be_marked(name: str, tensor: str) -> None:
    a = NETWORKS[name]
    drawing = draw(a, tensor, producer(a, tensor))
    assert marked(drawing) == 1
    assert [n.lines for n in drawing.nodes if n.kind == "label"] == [(f"\u2717 {tensor}",)]
    assert sum(n.blamed for n in drawing.nodes) == 1
    assert f"Marked as wrong: the gradient of {tensor}" in drawing.words
    for n in drawing.nodes:
        assert n.width / 2 <= n.x <= drawing.width - n.width / 2
        assert n.height / 2 <= n.y <= drawing.height - n.height / 2
    for m, n in itertools.combinations(drawing.nodes, 2):
        wide, high = (m.width + n.width) / 2, (m.height + n.height) / 2
        assert abs(m.x - n.x) >= wide or abs(m.y - n.y) >= high


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "deep"])
def test_every_operator_is_drawn_and_labelled(name: str) -> None:
    a = NETWORKS[name]
    labels = [n.lines[0].split()[0] for n in draw(a, "", "").nodes if n.lines]
    assert a.operators
    for operator in a.operators:
        assert labels.count(operator) == a.operators.count(operator)
        assert operator in draw(a, "", "").words


def test_different_tensors_mark_different_edges() -> None:
    a = NETWORKS["skips"]
    paths = {
        tensor: next(e.path for e in draw(a, tensor, "").edges if e.wrong) for tensor in a.tensors
    }
    assert len(set(paths.values())) == len(paths)


def test_what_is_not_there_is_not_marked() -> None:
    for tensor in ("", "layers.9.output", "\x1b[31m"):
        drawing = draw(NETWORKS["chain"], tensor, "convolution of nobody")
        assert not marked(drawing) and not any(n.blamed for n in drawing.nodes)
        assert "Marked" not in drawing.words


def test_an_operator_is_blamed_where_no_tensor_tells() -> None:
    (blamed,) = [n for n in draw(NETWORKS["chain"], "", "tanh").nodes if n.blamed]
    assert blamed.lines[0] == "tanh"


def test_of_a_deep_network_the_layers_around_the_mark_are_drawn() -> None:
    a = NETWORKS["deep"]
    drawing = draw(a, "layers.30.output", "tanh")
    operators = [n for n in drawing.nodes if n.kind == "operator"]
    assert len(operators) == MOST_LAYERS
    assert any(n.blamed for n in operators)
    more = [n.lines[0] for n in drawing.nodes if n.kind == "more"]
    first, last = (int(words.split()[0]) for words in more)
    assert first + last + MOST_LAYERS == len(a.layers)


# --- error against bound ----------------------------------------------------------------


def fail(tensor: str, error: float, bound: float, checker: str = "jax") -> Comparison:
    ratio = error / bound if bound else INFINITY
    return Comparison(checker, tensor, "FAIL", error, bound, ratio)


def test_a_bar_goes_from_the_bound_to_the_error_of_the_worst_comparison() -> None:
    chart = spans.spans(
        [fail("w", 1e-3, 1e-9), fail("w", 1.0, 1e-9, "torch"), fail("b", 1e-8, 1e-9)]
    )
    assert chart is not None
    assert [(r.tensor, r.checker) for r in chart.rows] == [("w", "torch"), ("b", "jax")]
    for row in chart.rows:
        assert row.bound is not None and spans.LEFT <= row.bound < row.error
        assert row.error <= spans.WIDTH - spans.RIGHT
    assert chart.rows[0].bound == chart.rows[1].bound


def test_an_error_that_is_not_finite_and_a_bound_of_nothing_have_their_places() -> None:
    chart = spans.spans([fail("w", INFINITY, 1e-9), fail("b", 0.5, 0.0)])
    assert chart is not None
    by_tensor = {r.tensor: r for r in chart.rows}
    assert by_tensor["w"].endless and by_tensor["w"].error == spans.WIDTH - spans.RIGHT
    assert by_tensor["b"].bound is None and not by_tensor["b"].endless


def test_what_was_not_compared_is_not_drawn() -> None:
    missing = Comparison("structure", "w", "FAIL", INFINITY, 0.0, INFINITY)
    assert spans.spans([missing, Comparison("jax", "w", "INCONCLUSIVE")]) is None


def test_tensors_that_are_left_out_are_counted() -> None:
    chart = spans.spans([fail(f"w{i}", 1.0 + i, 1e-9) for i in range(spans.MOST + 3)])
    assert chart is not None
    assert chart.left_out == 3 and len(chart.rows) == spans.MOST
    assert chart.rows[0].tensor == f"w{spans.MOST + 2}"


# --- entries ----------------------------------------------------------------------------


def test_cells_are_wrong_where_the_error_is_beyond_its_bound() -> None:
    found = cells.heat(streams.cells())
    assert [c.level for c in found.cells] == [0, 5, 0, 6, 2]
    assert found.wrong == 3
    assert [path.count("M") for path in found.crosses] == [1, 2]
    words = ["up to 0.1", "1e0 to 1e3", "1e11 to 1e15", "no bound, or not finite"]
    assert [said for _, said, _ in found.levels] == words
    assert [squares.count("M") for *_, squares in found.levels] == [2, 1, 1, 1]
    assert [e.where for e in found.worst[:3]] == ["(3,)", "(1,)", "(4,)"]


def test_the_colours_are_spread_over_the_errors_that_there_are() -> None:
    error = tuple(10.0**k for k in range(-3, 9))
    found = cells.heat(streams.cells(shape=(12,), columns=12, given=error, accepted=error,
                                     error=error, bound=(1.0,) * 12))  # fmt: skip
    levels = [c.level for c in found.cells]
    assert levels == [0, 0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [said for _, said, _ in found.levels][2:] == [
        "1e1 to 1e3", "1e3 to 1e5", "1e5 to 1e7", "1e7 to 1e9",
    ]  # fmt: skip


def test_on_the_exact_lane_every_difference_is_beyond_its_bound() -> None:
    found = cells.heat(streams.cells(bound=(0.0,) * 5, error=(0.0, 1e-16, 0.0, 0.0, 0.0)))
    assert [c.level for c in found.cells] == [0, 6, 0, 0, 0]


def test_a_tall_tensor_is_no_taller_than_it_is_wide() -> None:
    many = (1.0,) * 32
    found = cells.heat(streams.cells(shape=(32, 1), columns=1, given=many, accepted=many,
                                     error=many, bound=many))  # fmt: skip
    assert found.height <= cells.HEIGHT and found.side > 6


def test_an_entry_is_named_by_its_index() -> None:
    one = {"given": (1.0,) * 12, "accepted": (1.0,) * 12, "error": (0.0,) * 11 + (1.0,),
           "bound": (1e-9,) * 12}  # fmt: skip
    found = cells.heat(streams.cells(shape=(2, 2, 3), columns=3, **one))
    assert found.worst[0].where == "(1, 1, 2)"
    assert found.height == 4 * found.side and found.width == 3 * found.side
    blocks = cells.heat(streams.cells(shape=(8, 6), columns=3, block=(2, 2), **one))
    assert blocks.worst[0].where == "in the block from (6, 4)" and not blocks.whole


# --- steps ------------------------------------------------------------------------------


def test_the_v_falls_to_its_least_and_rises_again() -> None:
    s = streams.steps()
    drawn = steps.vee(s)
    heights = [y for _, y in drawn.dots]
    least = max(range(len(heights)), key=heights.__getitem__)
    assert s.steps[least] == pytest.approx(drawn.least[0])
    assert heights[:least] == sorted(heights[:least])
    assert heights[least:] == sorted(heights[least:], reverse=True)
    assert drawn.band[0] <= drawn.chosen[0] <= drawn.band[1]
    assert drawn.subject is not None and drawn.bound is not None
    assert drawn.subject < drawn.bound < drawn.chosen[1]  # the subject errs by far the most
    assert not drawn.linear and drawn.zero is None
    for x, y in drawn.dots:
        assert steps.LEFT <= x <= steps.WIDTH - steps.RIGHT
        assert steps.TOP <= y <= steps.HEIGHT - steps.BOTTOM


def test_where_no_step_truncates_there_is_no_right_arm_and_zero_has_a_place() -> None:
    s = streams.steps()
    flat = streams.steps(errors=tuple(0.0 if h >= 0.01 else 1e-16 / h for h in s.steps), error=0.0)
    drawn = steps.vee(flat)
    assert drawn.linear and drawn.zero == steps.HEIGHT - steps.BOTTOM
    assert drawn.chosen[1] == drawn.zero
    nothing = steps.vee(streams.steps(errors=(0.0,) * len(s.steps), error=0.0, bound=INFINITY))
    assert nothing.bound is None and nothing.subject is not None


# --- time -------------------------------------------------------------------------------


def test_cases_are_counted_as_time_goes_by() -> None:
    cases = [
        streams.case(i, streams.failed() if i % 4 == 0 else streams.passed()) for i in range(1, 41)
    ]
    drawn = timeline.timeline(cases, [(1_700_000_000.0, 0.0)])
    assert drawn is not None and drawn.seconds == 40
    assert {line.group: line.count for line in drawn.lines} == {"passed": 30, "failed": 10}
    for line in drawn.lines:
        pairs = (p.split(",") for p in line.points.split())
        points = [(float(x), float(y)) for x, y in pairs]
        assert list(points[0]) == [timeline.LEFT, timeline.HEIGHT - timeline.BOTTOM]
        assert list(points[-1]) == [timeline.WIDTH - timeline.RIGHT, line.y]
        assert points == sorted(points, key=lambda p: (p[0], -p[1]))
    assert [t.label for t in drawn.ticks] == ["0 s", "10 s", "20 s", "30 s", "40 s"]
    labels = sorted(line.label_y for line in drawn.lines)
    assert all(b - a >= timeline.APART for a, b in itertools.pairwise(labels))


def test_thousands_of_cases_are_a_short_line() -> None:
    drawn = timeline.timeline(
        [streams.case(i, streams.passed()) for i in range(9_999)], [(1.6e9, 0.0)]
    )
    assert drawn is not None and len(drawn.lines[0].points.split()) <= timeline.MOST_POINTS + 3
    assert drawn.ticks[0].label == "0 h" and len(drawn.ticks) <= 6


@pytest.mark.parametrize("started", [0.0, 1_700_000_050.0])
def test_no_clock_no_drawing(started: float) -> None:
    cases = [streams.case(i, streams.passed()) for i in range(3)]
    assert timeline.timeline(cases, [(started, 0.0)]) is None
    assert timeline.timeline(cases[:1], [(1.0, 0.0)]) is None
    assert math.isfinite(cases[0].at)


def test_an_interruption_is_no_time_of_the_run() -> None:
    before = [streams.case(i, streams.passed()) for i in range(1, 11)]
    after = [streams.case(i, streams.passed(), at=1_700_009_000.0 + i) for i in range(1, 11)]
    starts = [(1_700_000_000.0, 0.0), (1_700_009_000.0, 10.0)]
    drawn = timeline.timeline([*before, *after], starts)
    assert drawn is not None and drawn.seconds == 20
    assert drawn.lines[0].count == 20
