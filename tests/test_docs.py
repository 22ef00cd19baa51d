"""The documents point to what exists, and what stands in them runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers_docs import PAGES, ROOT, Block, World, assert_said, blocks

from backproof.architectures.cases import draw_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers.verdict import verify
from backproof.subjects.python import PythonSubject

LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
RUN = ("python", "sh", "json", "toml")
"""Languages whose blocks are run, or read by what reads such files."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(document: Path) -> list[str]:
    found = LINK.findall(document.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        assert (page.parent / link).exists(), link


def test_the_table_of_operators_links_each_derivation() -> None:
    document = ROOT / "docs" / "operators.md"
    pages = set(links(document))
    assert all((document.parent / page).exists() for page in pages)
    assert len(pages) > 60


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        assert block.language, f"{block.name}: say what it is: python, sh, text, ..."
        if block.language in (*RUN, "text", "math") or "edit" in block.marks:
            continue
        other = block.marks.get("checked by")
        assert other or block.marks.get("not run"), f"{block.name}: it is not run, and says no why"
        if other:
            assert page.name in (ROOT / other).read_text(encoding="utf-8"), other


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any(b.language in RUN for b in blocks(p))],
    ids=name_of,
)
def test_the_blocks_of_a_page_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(tmp_path, monkeypatch)
    before: Block | None = None
    for block in blocks(page):
        world.run(block, capsys)
        shown = block.language == "text" and "not run" not in block.marks
        if shown and before is not None and before.says:
            assert_said(block, world.said)
        before = block


def test_the_network_by_hand_in_the_tutorial_is_verified() -> None:
    (code,) = (b.code for b in blocks(ROOT / "docs" / "subjects.md") if "class Net" in b.code)
    defined: dict[str, Any] = {}
    exec(code, defined)
    subject = PythonSubject("the tutorial's", defined["Net"])
    can, found = subject.capabilities, 0
    limits = Limits(operators=can.operators or (), losses=can.losses or ())
    for seed in range(200):
        (a,) = generate(limits, "generic", "float64", seed, 1)
        if not can.refuses(a) and found < 12:
            found += 1
            verdict = verify(draw_case(a, seed), subject.gradients)
            assert verdict.status == "PASS", verdict.reason
    assert found == 12
