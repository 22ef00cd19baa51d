"""The badges: what shields' endpoint takes, and a drawing that everybody can read."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
import streams

from backproof.reports import badge
from backproof.reports.exit_codes import ExitCode
from backproof.reports.summary import summarise

RUNS = {
    "clean": ("verified 4", "brightgreen"),
    "with_failure": ("wrong in 1", "red"),
    "interrupted": ("interrupted", "lightgrey"),
    "cut_off": ("interrupted", "lightgrey"),
    "control_missed": ("error", "orange"),
    "nothing_verified": ("nothing verified", "yellow"),
    "hostile": ("wrong in 1", "red"),
}
every_run = pytest.mark.parametrize("name", RUNS)


@every_run
def test_the_endpoint_has_what_shields_asks_for_and_nothing_else(name: str) -> None:
    said, color = RUNS[name]
    assert json.loads(badge.endpoint(getattr(streams, name)())) == {
        "schemaVersion": 1, "label": "gradients", "message": said, "color": color,
    }  # fmt: skip


SVG = "{http://www.w3.org/2000/svg}"


@every_run
def test_the_drawing_says_it_in_text_and_asks_for_nothing(name: str) -> None:
    source = badge.svg(getattr(streams, name)())
    root = ElementTree.fromstring(source)
    words = f"gradients: {RUNS[name][0]}"
    assert root.get("role") == "img" and root.get("aria-label") == words
    assert root.findtext(f"{SVG}title") == words
    assert [t.text for t in root.iter(f"{SVG}text")] == ["gradients", RUNS[name][0]]
    assert not re.search(rb"href|url\((?!#)|<script|<style|<image|<foreignObject", source)


@every_run
def test_the_words_stay_within_their_halves(name: str) -> None:
    root = ElementTree.fromstring(badge.svg(getattr(streams, name)()))
    left, right = (float(r.get("width", 0)) for r in root.findall(f"{SVG}g/{SVG}rect"))
    assert left + right == float(root.get("width", 0))
    spans = [
        (float(t.get("x", 0)) - length / 2, float(t.get("x", 0)) + length / 2)
        for t in root.iter(f"{SVG}text")
        for length in [float(t.get("textLength", 0))]
    ]
    assert spans[0][0] >= 4 and spans[0][1] <= left - 4
    assert spans[1][0] >= left + 4 and spans[1][1] <= left + right - 4


def luminance(color: str) -> float:
    """WCAG's relative luminance."""
    digits = color.lstrip("#")
    parts = [digits[i : i + 2] for i in (0, 2, 4)] if len(digits) == 6 else [c * 2 for c in digits]
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(p, 16) / 255 for p in parts)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("color", ["#555", *(badge.COLORS[code][1] for code in ExitCode)])
def test_white_words_can_be_read_on_every_colour(color: str) -> None:
    assert 1.05 / (luminance(color) + 0.05) >= 4.5


def test_thousands_are_grouped() -> None:
    many = [streams.case(i, streams.passed()) for i in range(1234)]
    assert badge.message(summarise([*many, streams.finished()])) == "verified 1,234"
