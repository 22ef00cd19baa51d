"""The site of the documentation: it builds, it is whole, and it loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
import site_commands
import site_conventions
import site_events
import site_settings

import backproof
from backproof.checkers.conventions import CONVENTIONS
from backproof.cli import COMMANDS
from backproof.configuration import variable
from backproof.settings import KEYS, PROFILES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

BUILDERS = ("mkdocs", "material", "mkdocstrings", "latex2mathml")
BUILT = os.environ.get("BACKPROOF_SITE", "")
"""Where it has been built already; then nothing here is skipped."""

needs_builder = pytest.mark.skipif(
    not BUILT and any(importlib.util.find_spec(name) is None for name in BUILDERS),
    reason="the extra `docs` is not installed",
)

# --- without building it -------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_in_the_navigation(page: str) -> None:
    nav = CONFIGURATION.partition("\nnav:\n")[2]
    folders = re.findall(r": (\S+/)$", nav, re.MULTILINE)
    assert re.search(rf"(: |- ){re.escape(page)}$", nav, re.MULTILINE) or any(
        page.startswith(folder) for folder in folders
    )


def test_every_command_is_in_the_reference_with_its_options_and_exit_codes() -> None:
    page = site_commands.page()
    found = dict(site_commands.commands())
    assert set(COMMANDS) <= set(found)
    sections = dict(re.findall(r"^## backproof (.*?)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert set(sections) == set(found)
    for name, command in found.items():
        for option in command.params:
            if isinstance(option, click.Option):
                assert all(f"`{o}`" in sections[name] for o in option.opts), (name, option.name)
                assert option.help, f"{name} {option.name} has no help"
        if not isinstance(command, click.Group):
            assert {"`0`", "`3`", "`4`"} <= set(re.findall(r"^`\d`$", sections[name], re.M))


def test_the_exit_codes_are_those_that_a_command_says_itself() -> None:
    codes = {n: site_commands.exit_codes(c) for n, c in site_commands.commands()}
    assert codes["run"][5] == "nothing, or too little, was verified"
    assert codes["gate"] == codes["check"] == codes["run"]
    assert codes["replay"][1] == "it still fails"
    assert codes["vectors verify"][1] == "one is wrong or missing"
    assert codes["selftest"][3] == "that is an error of Backproof's own"
    assert 1 not in codes["doctor"]


@pytest.mark.parametrize("name", [n for n, _ in site_commands.commands()])
def test_every_code_that_a_help_text_mentions_is_listed(name: str) -> None:
    command = dict(site_commands.commands())[name]
    said = re.findall(r"(?<![\w.,])(\d)(?: [a-z])", (command.help or "").partition("Exit code")[2])
    assert {int(code) for code in said} <= set(site_commands.exit_codes(command))


def test_every_setting_is_in_the_reference_with_its_variable_and_option() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", site_settings.page(), re.M | re.S))
    assert set(sections) == set(KEYS)
    for key, text in sections.items():
        assert text.strip().splitlines()[0].endswith("."), f"{key} has no description"
        assert key == "profiles" or f"`{variable(key)}`" in text
        assert "* Type: " in text
        assert "* Default: " in text
    without = {key for key, text in sections.items() if "* Option: none" in text}
    assert without == {"profiles"}


def test_the_defaults_of_settings_are_those_of_the_commands() -> None:
    said = {key: site_settings.default(key) for key in KEYS}
    assert said["output"] == "`reports/out`"
    assert said["timeout"] == "`30`"
    assert said["max_depth"] == "4"
    assert said["lanes"] == "all"
    assert said["cases"] == "800, two a network; in the gate the profile's"


def test_every_profile_is_in_the_reference() -> None:
    for name, profile in PROFILES.items():
        assert f"| `{name}` | " in site_settings.page()
        assert profile.cases is None or f" {profile.cases:g} " in site_settings.page()


def test_every_event_is_in_the_reference() -> None:
    page = site_events.events()
    assert {"run_started", "case_finished", "run_finished"} <= set(
        re.findall(r"^### (\w+)$", page, re.MULTILINE)
    )
    assert "* `seed`: whole number" in page


def test_the_reference_of_events_links_to_what_it_has() -> None:
    page = site_events.events()
    headings = {h.lower() for h in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= headings


def test_every_convention_at_ties_is_in_the_theory() -> None:
    rows = site_conventions.page().splitlines()[2:]
    assert any("`leaky_relu(slope=0.1)` | x = 0 | 0.1" in row for row in rows)
    assert len(rows) == sum(map(len, CONVENTIONS.values()))


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"<!-- api: backproof\.(\w+) -->", page))
    assert shown == set(backproof.__all__)


@pytest.mark.parametrize("name", re.findall(
    r"<!-- api: ([\w.]+) -->", (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
))  # fmt: skip
def test_every_name_of_the_reference_is_there_and_documented(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert found.__doc__


# --- built ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if BUILT:
        return Path(BUILT)
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads when it opens a page, without asking; and the page's formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.formulas = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.formulas += tag == "math"
        self.addresses += [given[n] for n in ("src", "data", "poster") if n in given]
        self.addresses += [w.split()[0] for w in given.get("srcset", "").split(",") if w.strip()]
        self.addresses += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style", ""))
        relation = given.get("rel", "").split()
        if tag == "link" and not {"canonical", "next", "prev"} & set(relation):
            self.addresses.append(given["href"])


def loaded(page: Path) -> Loaded:
    found = Loaded()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def of_styles(site: Path) -> Iterator[tuple[Path, str]]:
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        for address in re.findall(r"url\(\s*['\"]?([^)'\"]+)", text):
            yield style, address
        yield from ((style, a) for a in re.findall(r"@import\s+['\"]([^'\"]+)", text))


@needs_builder
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    asked = [(p, a) for p in site.rglob("*.html") for a in loaded(p).addresses]
    asked += of_styles(site)
    assert len(asked) > 100
    for page, address in asked:
        if address.startswith(("data:", "#")):
            continue
        assert "//" not in address, f"{page.name} loads {address}"
        path = address.partition("?")[0].partition("#")[0]
        base = site if page.name == "404.html" else page.parent
        assert (base / path.lstrip("/")).exists(), f"{page.name} loads {address}"


@needs_builder
def test_every_page_of_the_documentation_is_built(site: Path) -> None:
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file()


@needs_builder
def test_every_formula_is_mathml(site: Path) -> None:
    assert any("```math" in (DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    for page in PAGES:
        source = (DOCS / page).read_text(encoding="utf-8")
        formulas = len(re.findall(r"^```math$", source, re.MULTILINE)) + source.count("$`")
        html = (site / page).with_suffix(".html")
        assert loaded(html).formulas >= formulas, page
        text = html.read_text(encoding="utf-8")
        assert "$`" not in text, page
        assert "wzxhzdk" not in text, page


ARGUMENTS = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2, "munder": 2}


def misshapen(html: str) -> list[str]:
    """The formulas of a page in which some element has too few arguments, or too many."""
    return [
        formula
        for formula in re.findall(r"<math\b.*?</math>", html, re.DOTALL)
        for element in ElementTree.fromstring(formula).iter()
        if len(element) != ARGUMENTS.get(element.tag.rpartition("}")[2], len(element))
    ]


@needs_builder
def test_every_formula_has_the_arguments_that_its_elements_take(site: Path) -> None:
    texts = [html.read_text(encoding="utf-8") for html in site.rglob("*.html")]
    assert sum(text.count("<math") for text in texts) > 1000
    assert [formula for text in texts for formula in misshapen(text)] == []


def test_a_power_without_its_exponent_is_misshapen() -> None:
    sound = "<math><msup><mi>x</mi><mn>2</mn></msup></math>"
    assert misshapen(sound) == []
    broken = sound.replace("<mi>x</mi>", "")
    assert misshapen(broken) == [broken]


@needs_builder
def test_nothing_generated_is_left_out(site: Path) -> None:
    for page, expected in {
        "reference/commands.html": "--min-resolution",
        "reference/configuration.html": "BACKPROOF_MIN_RESOLUTION",
        "reference/events.html": "control_finished",
        "reference/python.html": "check_backward",
        "theory/ties.html": "hard_swish",
        "repository/examples/runners/mlp.c.html": "train_step",
    }.items():
        text = (site / page).read_text(encoding="utf-8")
        assert expected in text
        assert "<!-- generated" not in text
        assert "<!-- api" not in text


@needs_builder
def test_a_formula_that_cannot_be_made_is_an_error() -> None:
    from site_maths import mathml

    assert mathml(r"\frac{1}{2}", True).startswith("<math")
    with pytest.raises(ValueError, match="no MathML"):
        mathml(r"\nosuchcommand x", False)


@needs_builder
def test_mathml_that_a_page_holds_is_left_as_it_is() -> None:
    from markdown import Markdown
    from site_maths import Maths

    inside = "<math><mi>a_b</mi><mo>*</mo><mi>c*d_e</mi></math>"
    block = '<math display="block"><mi>x_1*y*z_1</mi></math>'
    html = Markdown(extensions=[Maths(), "tables", "pymdownx.superfences"]).convert(
        f"Here {inside} it *is*.\n\n{block}\n\n| a |\n| - |\n| {inside} |\n\n```\n$`x`$\n```\n"
    )
    assert html.count(inside) == 2
    assert block in html
    assert "<em>is</em>" in html
    assert "$`x`$" in html


# --- in a browser --------------------------------------------------------------------------

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

PHONE = 390
"""The width of a phone, in CSS's pixels."""

HARNESS = """<!doctype html><iframe id="page" style="width:%dpx;height:800px;border:0"></iframe>
<pre id="seen"></pre><script>
const pages = %s, frame = document.getElementById("page");
let i = 0;
frame.onload = () => setTimeout(() => {
  const root = frame.contentDocument.scrollingElement;
  document.getElementById("seen").textContent +=
    pages[i] + " " + root.scrollWidth + " " + root.clientWidth + "\\n";
  i += 1;
  if (i < pages.length) frame.src = pages[i];
}, 20);
frame.src = pages[0];
</script>"""


def widths(site: Path, pages: list[str], width: int) -> dict[str, tuple[int, int]]:
    """How wide each page is and may be, in a real browser, in a frame of this width."""
    harness = site / "harness.html"
    harness.write_text(HARNESS % (width, json.dumps(pages)), encoding="utf-8")
    assert BROWSER
    try:
        done = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu",
             "--allow-file-access-from-files", "--virtual-time-budget=60000", "--dump-dom",
             harness.as_uri()],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    finally:
        harness.unlink()
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    rows = [line.split() for line in found[1].splitlines()]
    return {page: (int(is_), int(may_be)) for page, is_, may_be in rows}


@needs_builder
@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_no_page_scrolls_sideways_on_a_phone(site: Path) -> None:
    pages = [page.removesuffix(".md") + ".html" for page in PAGES]
    found = widths(site, pages, PHONE)
    assert set(found) == set(pages)
    assert [page for page, (is_, may_be) in found.items() if is_ > may_be] == []


@needs_builder
@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_a_page_that_is_too_wide_is_seen_to_be(site: Path) -> None:
    (site / "wide.html").write_text("<!doctype html><div style='width:500px'>wide</div>")
    try:
        is_, may_be = widths(site, ["wide.html"], PHONE)["wide.html"]
    finally:
        (site / "wide.html").unlink()
    assert is_ > may_be
