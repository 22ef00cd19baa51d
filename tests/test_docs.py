"""The documents point to what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
