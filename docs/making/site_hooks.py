"""What MkDocs is told beyond mkdocs.yml: generated pages, and links that hold here and there.

The pages of docs/ are read in two places, on GitHub and on the site, and a link in them is a
path in the repository.  Where it leaves docs/, the file that it leads to is put on the site as
a page under repository/, source code in a block.

    <!-- generated: NAME -->    in a page stands for what a function of ours makes of the code
    <!-- api: NAME -->          for the documentation of a public name
    > Read on GitHub, ...       is a paragraph for readers there, and is left out here
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import site_commands
import site_conventions
import site_events
import site_settings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from site_maths import FENCE, Maths

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "repository/"

GENERATED: Mapping[str, Callable[[], str]] = {
    "commands": site_commands.page,
    "conventions": site_conventions.page,
    "settings": site_settings.page,
    "events": site_events.events,
    "report": site_events.report,
}
"""What a page may ask for by `<!-- generated: NAME -->`."""

ONLY_THERE = re.compile(r"^> Read on GitHub[^\n]*\n\n", re.MULTILINE)
MARK = re.compile(r"<!-- generated: (\w+) -->")
API = re.compile(r"<!-- api: ([\w.]+) -->")
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
SPAN = re.compile(r"`[^`\n]+`")

UNSOUGHT = "---\nsearch:\n  exclude: true\n---\n"
"""Of code: who searches the documentation wants its pages."""

NOT_SHOWN = ("__pycache__", "out")
LANGUAGES = {".c": "c", ".json": "json", ".mjs": "js", ".py": "python", ".toml": "toml",
             ".ini": "ini", ".yml": "yaml", ".yaml": "yaml"}  # fmt: skip


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Formulas are made by an extension of ours."""
    config.markdown_extensions.append(Maths())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put on the site what its pages lead to outside of docs/, and what these lead to."""
    made = {f.src_uri: f.content_string for f in files.documentation_pages() if f.generated_by}
    todo = [f.src_uri for f in files.documentation_pages()]
    todo += [uri for uri in _entries(config.nav) if uri.startswith(REPOSITORY)]
    seen = set(todo)
    while todo:
        uri = todo.pop()
        path = ROOT / of_repository(uri)
        if uri.startswith(REPOSITORY) and path.exists():
            made[uri] = published(path)
            files.append(_generated(config, uri, made[uri]))
        if uri not in made and not path.is_file():
            continue
        text = made[uri] if uri in made else path.read_text(encoding="utf-8")
        for target in _targets(text):
            found = site_uri(posixpath.dirname(of_repository(uri)), target, files)
            if found.startswith(REPOSITORY) and found not in seen:
                seen.add(found)
                todo.append(found)
    return files


def _entries(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _entries(entry)


def of_repository(uri: str) -> str:
    """The path in the repository of a page of the site."""
    if not uri.startswith(REPOSITORY):
        return f"docs/{uri}"
    path = uri.removeprefix(REPOSITORY)
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def site_uri(folder: str, target: str, files: Files) -> str:
    """Where on the site a link leads that stands in a folder of the repository.

    To a page of the reference: to its derivation, which ends with the code, where there is one.
    """
    path = posixpath.normpath(posixpath.join(folder, target))
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    derivation = re.sub(r"^reference/(.*)\.py$", r"derivations/\1.md", path)
    if derivation != path and files.get_file_from_path(derivation):
        return derivation
    return REPOSITORY + (path if path.endswith(".md") else f"{path}.md")


def published(path: Path) -> str:
    """A file of the repository as a page: Markdown as it is, code in a block, a folder's list."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.name not in NOT_SHOWN)
        return f"# {name}\n\n" + "".join(f"* [{p.name}]({path.name}/{p.name})\n" for p in inside)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return f"{UNSOUGHT}# {name}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"


def _generated(config: MkDocsConfig, uri: str, text: str) -> File:
    return File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV)


def _targets(text: str) -> Iterator[str]:
    text = SPAN.sub("", FENCE.sub("", text))
    yield from (m[2] for m in LINK.finditer(text) if "://" not in m[2])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """What is generated, and every link as it is on the site."""
    if not page.file.src_uri.startswith(REPOSITORY):
        markdown = ONLY_THERE.sub("", markdown)
        markdown = MARK.sub(lambda m: GENERATED[m[1]](), markdown)
        markdown = API.sub(r"::: \1", markdown)
    folder = posixpath.dirname(of_repository(page.file.src_uri))

    def moved(match: re.Match[str]) -> str:
        if "://" in match[2]:
            return match[0]
        here = posixpath.dirname(page.file.src_uri) or "."
        target = posixpath.relpath(site_uri(folder, match[2], files), here)
        return f"{match[1]}{target}{match[3] or ''}{match[4]}"

    return _outside_code(markdown, lambda text: LINK.sub(moved, text))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """A page with `change` made in all of it but code."""
    done, at = [], 0
    spans = sorted(
        (m for pattern in (FENCE, SPAN) for m in pattern.finditer(text)), key=lambda m: m.start()
    )
    for span in spans:
        if span.start() < at:
            continue
        done += [change(text[at : span.start()]), span[0]]
        at = span.end()
    return "".join([*done, change(text[at:])])


def on_post_build(config: MkDocsConfig) -> None:
    """No map of the site, which names addresses, and there is none."""
    for unused in ("sitemap.xml", "sitemap.xml.gz"):
        (Path(config.site_dir) / unused).unlink(missing_ok=True)
