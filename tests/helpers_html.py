"""An HTML page as a tree, strictly: every tag that is opened is closed, in its order."""

from __future__ import annotations

import html.parser
import re
from xml.etree.ElementTree import Element, TreeBuilder

VOID = frozenset({"meta", "br", "wbr", "input"})

Attributes = list[tuple[str, str | None]]


class Page(html.parser.HTMLParser):
    """`root` is the tree, `text` what can be read of it."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self._builder = TreeBuilder()
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(source.decode())
        self.close()
        assert not self._open, self._open
        self.root: Element = self._builder.close()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self._builder.end(tag)
        else:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._builder.data(data)
        if "style" not in self._open:
            self._words.append(data)

    @property
    def text(self) -> str:
        return words_of(" ".join(self._words))

    def classed(self, name: str) -> list[Element]:
        """Every element of a class, in order."""
        return [e for e in self.root.iter() if name in e.get("class", "").split()]

    def by_id(self) -> dict[str, Element]:
        found = [e for e in self.root.iter() if "id" in e.attrib]
        ids = {e.attrib["id"]: e for e in found}
        assert len(ids) == len(found), "two elements with one id"
        return ids


def text_of(element: Element) -> str:
    """What can be read of an element."""
    return words_of(" ".join(element.itertext()))


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
