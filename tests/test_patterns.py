"""Where the wrong entries are: each phrase fits what it says and not its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backproof.diagnosis.patterns import by_class, by_mask, by_value, indices, over_axes, where
from backproof.reference.arrays import Array


def mask(shape: tuple[int, ...], *places: Any) -> Array:
    """A mask that is set at these indices or slices."""
    found = np.zeros(shape, bool)
    for place in places:
        found[place] = True
    return found


S = slice
FOUND = [
    ("at entry (1, 2) alone", mask((3, 4), (1, 2))),
    ("at entry (1,) alone", mask((4,), 1)),
    ("in row 1", mask((3, 4), 1)),
    ("in column 3", mask((3, 4), (S(None), 3))),
    ("in the rows 0 to 1", mask((5, 2), S(0, 2))),
    ("in the rows 3 to 5 (block 2 of 4)", mask((12, 2), S(3, 6))),
    ("in the columns 4 to 7 (block 2 of 2)", mask((3, 8), (S(None), S(4, 8)))),
    ("in the rows 1 + 2 i", mask((6, 2), S(1, None, 2))),
    ("in the rows 2 + 3 i", mask((9, 2), S(2, None, 3))),
    ("in the rows 0, 1, 4", mask((6, 2), 0, 1, 4)),
    ("in the entries 0 + 2 i", mask((5,), S(0, None, 2))),
    ("in index 1 of axis 1", mask((2, 3, 4), (S(None), 1))),
    (
        "in the indices 0 to 1 (block 1 of 2) of axis 2",
        mask((2, 3, 4), (S(None), S(None), S(0, 2))),
    ),
    ("where row 1 and the columns 0 to 1 meet", mask((3, 5), (1, S(0, 2)))),
    ("on the border of the last two axes", ~mask((2, 4, 5), (S(None), S(1, 3), S(1, 4)))),
    ("on the border, 2 wide, of the last two axes", ~mask((6, 7), (S(2, 4), S(2, 5)))),
    ("on the diagonal of the last two axes", np.eye(4, dtype=bool)),
    ("off the diagonal of the last two axes", ~np.eye(4, dtype=bool)),
    (
        "above the diagonal of the last two axes, which a causal mask hides",
        np.triu(np.ones((2, 4, 4), bool), 1),
    ),
    (
        "on and below the diagonal of the last two axes, which a causal mask leaves",
        np.tril(np.ones((4, 4), bool)),
    ),
    ("below the diagonal of the last two axes", np.tril(np.ones((4, 4), bool), -1)),
    ("on and above the diagonal of the last two axes", np.triu(np.ones((3, 4), bool))),
]


@pytest.mark.parametrize("words, wrong", FOUND, ids=[words for words, _ in FOUND])
def test_a_pattern_is_said(words: str, wrong: Array) -> None:
    assert where(wrong) == words


@pytest.mark.parametrize("words, wrong", FOUND, ids=[words for words, _ in FOUND])
def test_a_pattern_is_not_said_of_one_entry_more_or_less(words: str, wrong: Array) -> None:
    """Of each entry, since a phrase that fits all but one entry is false."""
    for place in np.ndindex(*wrong.shape):
        other = wrong.copy()
        other[place] = not other[place]
        assert where(other) != words


@pytest.mark.parametrize("words, wrong", FOUND, ids=[words for words, _ in FOUND])
def test_an_entry_that_cannot_show_it_is_no_objection(words: str, wrong: Array) -> None:
    if wrong.sum() < 4:
        return  # what is left may be less: one entry
    blank = np.zeros_like(wrong)
    blank[tuple(np.argwhere(wrong)[1])] = True
    assert where(wrong & ~blank, blank) == words
    assert where(wrong & ~blank) != words


def test_nothing_and_everything_are_no_pattern() -> None:
    assert where(np.zeros((3, 3), bool)) == ""
    assert where(np.ones((3, 3), bool)) == ""
    most = ~mask((3, 3), (0, 0))
    assert where(most, mask((3, 3), (0, 0))) == ""


def test_scattered_entries_are_no_pattern() -> None:
    assert where(mask((6, 6), (0, 1), (2, 5), (3, 0), (5, 2), (4, 4))) == ""


def test_a_scalar_has_no_pattern() -> None:
    assert where(np.array(True)) == ""


def test_many_indices_without_a_rule_are_no_phrase() -> None:
    rng = np.random.default_rng(0)
    hit = rng.permutation(np.arange(40) < 15)
    assert indices(hit, np.zeros_like(hit)) == ""
    assert where(np.broadcast_to(hit[:, None], (40, 3))) == ""


def test_a_step_bridges_indices_that_are_unknown() -> None:
    hit = np.arange(8) % 2 == 1
    unknown = np.arange(8) == 3
    assert indices(hit & ~unknown, unknown) == "1 + 2 i"
    assert indices(hit & ~unknown, np.zeros(8, bool)) == "1, 5, 7"


@pytest.mark.parametrize("words, select", [
    ("zero", lambda x: x == 0), ("negative", lambda x: x < 0), ("positive", lambda x: x > 0),
    ("negative or zero", lambda x: x <= 0), ("positive or zero", lambda x: x >= 0),
])  # fmt: skip
def test_a_pattern_by_the_tensors_own_value(words: str, select: Callable[[Array], Array]) -> None:
    value = np.random.default_rng(1).integers(-2, 3, size=(5, 6)).astype(float)
    masks = dict(by_value(value))
    wrong = select(value)
    assert where(wrong, None, masks) == f"where the value itself is {words}"
    wrong[tuple(np.argwhere(wrong)[0])] = False
    assert where(wrong, None, masks) == ""


def test_a_pattern_by_a_mask_that_an_operator_was_given() -> None:
    given = np.random.default_rng(2).random((4, 5)) < 0.5
    masks = dict(by_mask("layers.2.mask", given, (4, 5)))
    assert where(~given, None, masks) == "where layers.2.mask is 0"
    assert where(given, None, masks) == "where layers.2.mask is 1"


def test_a_mask_lies_over_the_last_axes_or_over_the_first() -> None:
    last = over_axes(np.array([True, False, True]), (2, 3))
    assert last is not None and last.tolist() == [[True, False, True]] * 2
    first = over_axes(np.array([True, False]), (2, 3))
    assert first is not None and first.tolist() == [[True] * 3, [False] * 3]
    assert over_axes(np.array([True, False]), (3, 4)) is None


def test_a_pattern_by_the_class_of_the_target() -> None:
    target = np.array([2, 0, 1, 2])
    masks = dict(by_class(target, (4, 3), 2))
    own = target[:, None] == np.arange(3)
    assert where(own, None, masks) == "at the class of the target"
    assert where(~own, None, masks) == "at every class but the target's"
    assert "in the rows whose class is ignored" in masks
    assert masks["in the rows whose class is ignored"][:, 0].tolist() == [True, False, False, True]
    assert not dict(by_class(target, (5, 3), None))


def test_the_simplest_phrase_is_taken() -> None:
    """One row is also an upper triangle of a matrix with two rows."""
    value = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert where(value < 0, None, dict(by_value(value))) == "in row 0"
