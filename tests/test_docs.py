"""The documents point to what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backproof.architectures.cases import draw_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers.verdict import verify
from backproof.subjects.python import PythonSubject

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if p.name != "operators.md"
)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def links(document: Path) -> list[str]:
    found = LINK.findall(document.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        assert (document.parent / link).exists(), link


def test_the_table_of_operators_links_each_derivation() -> None:
    document = ROOT / "docs" / "operators.md"
    pages = set(links(document))
    assert all((document.parent / page).exists() for page in pages)
    assert len(pages) > 60


CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXAMPLES = [
    (document, i, code)
    for document in DOCUMENTS
    for i, code in enumerate(CODE.findall(document.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(
    "document, i, code", EXAMPLES, ids=[f"{d.name}-{i}" for d, i, _ in EXAMPLES]
)
def test_the_code_in_a_document_runs(
    document: Path, i: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, f"{document.name}, example {i}", "exec"), {"__name__": "example"})
    assert "Traceback" not in capsys.readouterr().err


def test_the_network_by_hand_in_the_tutorial_is_verified() -> None:
    text = (ROOT / "docs" / "subjects.md").read_text(encoding="utf-8")
    defined: dict[str, Any] = {}
    exec(CODE.findall(text)[0], defined)
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
