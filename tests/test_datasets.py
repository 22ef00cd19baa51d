"""The data sets that ship with the package."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pytest

from backproof import datasets


@pytest.mark.parametrize("name", datasets.NAMES)
def test_the_files_hold_what_the_recipe_draws(name: datasets.Name) -> None:
    drawn, read = datasets.draw(name), datasets.load(name)
    np.testing.assert_array_equal(read.input, drawn.input)
    np.testing.assert_array_equal(read.target, drawn.target)
    text = resources.files("backproof.data").joinpath(f"{name}.csv").read_text("utf-8")
    assert text == datasets.to_csv(drawn)
    assert len(text) < 4096


def test_their_shapes_are_those_of_a_fit_and_of_classes() -> None:
    fit, classes = datasets.load("regression"), datasets.load("classification")
    assert fit.input.shape == classes.input.shape == (datasets.RECORDS, 2)
    assert fit.target.shape == (datasets.RECORDS, 1)
    assert classes.target.shape == (datasets.RECORDS,)
    assert classes.target.dtype == np.int64
    assert np.bincount(classes.target).tolist() == [16, 16, 16]


def test_another_name_is_answered_with_those_that_there_are() -> None:
    unknown: Any = "iris"
    with pytest.raises(ValueError, match="no data set 'iris'; choose from regression, class"):
        datasets.load(unknown)
