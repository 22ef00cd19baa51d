"""Running the documentation's blocks: what is right passes, and what is not is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_docs import ROOT, Block, World, assert_said, blocks

Run = Callable[[str], World]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run all blocks of a page that holds this text."""

    def run(text: str) -> World:
        page = tmp_path / "page.md"
        page.write_text(text)
        (tmp_path / "world").mkdir()
        world = World(tmp_path / "world", monkeypatch)
        for block in blocks(page):
            world.run(block, capsys)
        return world

    return run


def block_of(text: str) -> Block:
    return Block(Path("page.md"), 1, "text", text)


def test_a_command_that_ends_otherwise_than_the_page_says_is_caught(run: Run) -> None:
    with pytest.raises(AssertionError, match="ended with 4"):
        run("```sh\nbackproof run --no-such-option\n```\n")


def test_a_command_that_ends_as_the_page_says_passes(run: Run) -> None:
    run("<!-- exits with: 4, 0 -->\n```sh\nbackproof run --no-such-option\nbackproof config\n```\n")


def test_a_program_that_is_not_known_is_caught(run: Run) -> None:
    with pytest.raises(AssertionError, match="nothing is known of 'rm'"):
        run("```sh\nrm -r everything\n```\n")


def test_python_that_raises_is_caught(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run("```python\n1 / 0\n```\n")


def test_a_network_with_a_mistake_in_it_is_caught(run: Run) -> None:
    with pytest.raises(ValueError, match="gelo"):
        run('```json\n{"input": [2, 2], "layers": [{"op": "gelo"}]}\n```\n')


def test_a_key_that_there_is_not_is_caught(run: Run) -> None:
    with pytest.raises(AssertionError):
        run("```toml\n[tool.backproof]\nsed = 7\n```\n")


def test_a_language_that_nobody_runs_is_caught(run: Run) -> None:
    with pytest.raises(AssertionError, match="nothing is known of 'fortran'"):
        run("```fortran\nend\n```\n")


def test_what_is_not_to_be_run_is_not(run: Run) -> None:
    run("<!-- not run: it would fail -->\n```python\n1 / 0\n```\n")


def test_a_saved_file_is_there_for_the_next_block_and_may_be_edited(run: Run) -> None:
    world = run(
        "<!-- save as: say.py -->\n```python\nprint('one')\n```\n"
        "<!-- edit: say.py: 'one' -->\n```py\n'two'\n```\n"
        "```sh\npython say.py\n```\n"
    )
    assert world.said == "two\n"


def test_an_edit_of_what_is_not_there_is_caught(run: Run) -> None:
    with pytest.raises(AssertionError, match="stands 0 times"):
        run(
            "<!-- save as: say.py -->\n```python\nprint('one')\n```\n"
            "<!-- edit: say.py: 'three' -->\n```py\n'two'\n```\n"
        )


def test_a_wrong_subject_is_wrong_and_the_other_is_right(run: Run) -> None:
    check = "backproof check py:my_package.net:subject --cases 4"
    run(
        f"```sh\n{check}\n```\n<!-- given: a wrong subject -->\n<!-- exits with: 1 -->\n"
        f"```sh\n{check}\n```\n"
    )


def test_an_output_is_compared_but_for_its_numbers_and_gaps() -> None:
    said = "f is VERIFIED; errors above 1.0e-12 would have been caught\n  PASS  a\n  PASS  b\n"
    assert_said(block_of("f is VERIFIED; errors above 2.5e-12 ...\n...\n  PASS  b\n"), said)
    with pytest.raises(AssertionError, match="no 'f is WRONG'"):
        assert_said(block_of("f is WRONG\n"), said)
    with pytest.raises(AssertionError, match="no 'PASS  a'"):
        assert_said(block_of("  PASS  b\n  PASS  a\n"), said)


def test_a_mark_belongs_to_the_block_right_below_it() -> None:
    page = ROOT / "docs" / "tutorial.md"
    saved = {b.marks["save as"] for b in blocks(page) if "save as" in b.marks}
    assert saved == {"swish.py", "layer_norm.py"}
