"""The pages as code: what stands in their blocks, and running it.

A comment right above a block says what is special about it; readers do not see it.

    <!-- not run: REASON -->             the block is shown only
    <!-- checked by: tests/test_x.py --> another test runs it, and names the page
    <!-- save as: FILE -->               the block is that file, for the blocks after it
    <!-- edit: FILE: OLD -->             the block takes the place of OLD in that file
    <!-- then: COMMAND -->               and that is run when it has
    <!-- put back: FILE: NEW: OLD -->    before it, OLD takes the place of NEW again
    <!-- exits with: 1, 0 -->            exit codes of the commands, one for each line; else 0
    <!-- needs: LIBRARY, NAME=VALUE -->  run in a process of its own, with these variables
    <!-- page checked by: tests/test_x.py -->  the same of all blocks of the page; at its top
    <!-- given: a wrong subject -->      before it, my_package.net is made wrong;
                two runs                 or there is a run in reports/out and one in last-week;
                right results            or in my_results there are right ones for vectors/
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helpers_cli
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backproof.architectures import files
from backproof.foreign import close_all
from backproof.pytest_plugin import pytest_addoption

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if p.name != "operators.md"
)

BLOCK = re.compile(
    r"(?P<marks>(?:^<!--[^\n]*-->\n)*)"
    r"^(?P<fence>`{3,})(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=fence)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
MARK = re.compile(r"<!-- (?P<key>[a-z ]+): (?P<value>.*?) -->")

WHOLE = re.compile(r"^<!-- page checked by: (\S+) -->$", re.MULTILINE)

MOST_CASES = 10
"""A documented command is run on so few: that it works, and how it ends, is what is tested."""

QUICK = {
    "BACKPROOF_CASES": str(MOST_CASES), "BACKPROOF_CHECKERS": "complex_step",
    "BACKPROOF_MIN_CASES": "1", "BACKPROOF_WORKERS": "1", "COLUMNS": "200",
    "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:randomly --backproof-cases=4 "
    "--backproof-checker=complex_step",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One block of a page, with what is said of it."""

    page: Path
    number: int
    language: str
    code: str
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> bool:
        """Whether what it prints is known: of Python; commands are run on fewer cases."""
        if self.language == "sh":
            return all(line.startswith("python ") for line in self.code.splitlines())
        return self.language == "python" or "then" in self.marks

    @property
    def name(self) -> str:
        return f"{self.page.name}, block {self.number}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order, numbered from 1."""
    text = page.read_text(encoding="utf-8")
    other = WHOLE.search(text)
    everywhere = {"checked by": other[1]} if other else {}
    return [
        Block(page, i, m["info"].strip(), m["code"], everywhere | dict(MARK.findall(m["marks"])))
        for i, m in enumerate(BLOCK.finditer(text), 1)
    ]


# --- running -------------------------------------------------------------------------------


class World:
    """A folder in which a page's blocks are run one after another."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said = ""
        for name in ("examples", "vectors"):
            os.symlink(ROOT / name, folder / name)
        net = next(b.code for b in blocks(ROOT / "docs" / "subjects.md") if "class Net" in b.code)
        (folder / "my_net.py").write_text(net)
        (folder / "my_package").mkdir()
        self.make_subject(wrong=False)
        program = folder / "my_program"
        runner = ROOT / "examples" / "runners" / "mlp.py"
        program.write_text(f"#!/bin/sh\nexec {sys.executable} {runner}\n")
        program.chmod(0o755)
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        for name, value in QUICK.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def make_subject(self, *, wrong: bool) -> None:
        """my_package.net:subject, the network of docs/subjects.md; or one whose bias is wrong."""
        code = (self.folder / "my_net.py").read_text()
        if wrong:
            code = code.replace("rows.sum(0)", "rows.mean(0)")
        (self.folder / "my_package" / "net.py").write_text(f"{code}\n\nsubject = Net()\n")
        for name in ("my_net", "my_package", "my_package.net"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def _given(self, what: str) -> None:
        match what:
            case "":
                return
            case "a wrong subject":
                self.make_subject(wrong=True)
            case "two runs":
                for folder in ("last-week", "reports/out"):
                    assert helpers_cli.invoke("run", "--output", folder).exit_code == 0
            case "right results":
                write_results(self.folder / "my_results")
            case other:
                raise AssertionError(f"nothing is known of {other!r}")

    def run(self, block: Block, capsys: pytest.CaptureFixture[str]) -> None:
        """Run a block, and fail where it does not do what its page says."""
        marks = block.marks
        self._given(marks.get("given", ""))
        if "save as" in marks:
            (self.folder / marks["save as"]).write_text(block.code)
        if "put back" in marks:
            self._replace(*marks["put back"].split(": "))
        if "edit" in marks:
            name, _, old = marks["edit"].partition(": ")
            self._replace(name, old, block.code.strip())
            if "then" in marks:
                self.said = self._command(marks["then"], 0, block, capsys)
            return
        if "not run" in marks or "checked by" in marks:
            return
        match block.language:
            case "python":
                self.said = self._python(block, capsys)
            case "sh":
                codes = [int(c) for c in marks.get("exits with", "").split(",") if c.strip()]
                lines = [line for line in block.code.splitlines() if line.strip()]
                self.said = "".join(
                    self._command(line, codes[i] if codes else 0, block, capsys)
                    for i, line in enumerate(lines)
                )
            case "json":
                files.loads(block.code)
            case "toml":
                check_toml(block.code)
            case "text" | "math":
                pass
            case other:
                raise AssertionError(f"{block.name}: nothing is known of {other!r}")

    def _replace(self, name: str, old: str, new: str) -> None:
        file = self.folder / name
        if not file.exists():
            shutil.copy(ROOT / "examples" / "runners" / name, file)
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        file.write_text(text.replace(old, new))

    def _python(self, block: Block, capsys: pytest.CaptureFixture[str]) -> str:
        needs = [word.strip() for word in block.marks.get("needs", "").split(",") if word.strip()]
        if not needs:
            exec(compile(block.code, block.name, "exec"), {"__name__": "example"})
            out, err = capsys.readouterr()
            assert "Traceback" not in err
            return out
        variables = dict(word.split("=") for word in needs if "=" in word)
        for library in needs:
            if "=" not in library and importlib.util.find_spec(library) is None:
                pytest.skip(f"{library} is not installed")
        done = subprocess.run(
            [sys.executable, "-c", block.code],
            capture_output=True, text=True, env={**os.environ, **variables}, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(
        self, line: str, expected: int, block: Block, capsys: pytest.CaptureFixture[str]
    ) -> str:
        words = shlex.split(line, comments=True)
        if not words:
            return ""
        program, *arguments = small(words)
        if program == "backproof":
            result = helpers_cli.invoke(*arguments)
            close_all()  # as at the end of a process of its own
            code, out = result.exit_code, result.output
        elif program == "python" and len(arguments) == 1:
            runpy.run_path(arguments[0], run_name="__main__")
            code, out = 0, capsys.readouterr().out
        elif program in ("cc", "pytest"):
            if shutil.which(program) is None and program == "cc":
                pytest.skip("there is no C compiler")
            start = [program] if program == "cc" else [sys.executable, "-m", "pytest"]
            done = subprocess.run([*start, *arguments], capture_output=True, text=True)
            code, out = done.returncode, done.stdout + done.stderr
        else:
            raise AssertionError(f"{block.name}: nothing is known of {program!r}")
        assert code == expected, f"{block.name}: {line!r} ended with {code}:\n{out}"
        return out


def write_results(folder: Path) -> None:
    """What the corpus in vectors/ expects, as results."""
    folder.mkdir()
    corpus = json.loads((ROOT / "vectors" / "corpus.json").read_text())
    for vector in corpus["vectors"]:
        tensors = load_file(ROOT / "vectors" / "data" / f"{vector['id']}.safetensors")
        results = {
            name.removeprefix("expected/"): np.array(x, vector["dtype"], order="C")
            for name, x in tensors.items()
            if name.startswith("expected/")
        }
        save_file(results, folder / f"{vector['id']}.safetensors")


def small(words: list[str]) -> list[str]:
    """A command on few cases, in one process, and with a last day that is not over."""
    month = str(datetime.date.today() + datetime.timedelta(30))
    words = [re.sub(r"^\d{4}-\d\d-\d\d$", month, word) for word in words]
    for i, word in enumerate(words[:-1]):
        if word == "--cases":
            words[i + 1] = str(min(int(words[i + 1]), MOST_CASES))
        if word == "-n":
            words[i + 1] = "1"
    return words


def check_toml(code: str) -> None:
    """Ours is read as ours; of pytest's table every key must be one of the plugin's."""
    table = tomllib.loads(code)
    if "pytest" in table.get("tool", {}):
        assert set(table["tool"]["pytest"]["ini_options"]) <= ini_keys()
        return
    Path("pyproject.toml").write_text(code)
    assert helpers_cli.invoke("config").exit_code == 0
    Path("pyproject.toml").unlink()


def ini_keys() -> set[str]:
    """The keys of pytest's ini-file that the plugin adds."""

    keys: set[str] = set()

    class Recorder:
        def getgroup(self, *words: str) -> Recorder:
            return self

        def addoption(self, *words: str, **more: object) -> None: ...

        def addini(self, name: str, *words: str, **more: object) -> None:
            keys.add(name)

    recorder: Any = Recorder()
    pytest_addoption(recorder)
    return keys


NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


def shown_lines(block: Block) -> Iterator[str]:
    """The lines that a page shows of an output, numbers and gaps taken out."""
    for line in block.code.splitlines():
        for part in line.split("..."):
            if plain := NUMBER.sub("#", part).strip():
                yield plain


def assert_said(block: Block, said: str) -> None:
    """Every line that the page shows was said, in this order."""
    lines = iter([NUMBER.sub("#", line).strip() for line in said.splitlines()])
    for expected in shown_lines(block):
        assert any(expected in line for line in lines), f"{block.name}: no {expected!r} in\n{said}"
