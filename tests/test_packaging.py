"""The repository installs as one package, imports run inside it, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

import backproof

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS: dict[str, Any] = PYPROJECT["tool"]["setuptools"]
FOLDERS: dict[str, str] = SETUPTOOLS["package-dir"]
TOPS = ("architectures", "checkers", "harness", "reference", "reports", "subjects")

ONE_PLACE = {
    "jax": ("checkers/with_jax/", "subjects/jax_function.py"),
    "torch": ("checkers/with_torch/", "subjects/torch_function.py", "subjects/torch_module.py"),
    "loky": ("harness/workers.py",),
}
"""Who may import what is heavy: a checker, and the adapter of subjects; or one module."""


def sources() -> Iterator[Path]:
    for top in TOPS:
        yield from (p for p in (ROOT / top).rglob("*.py") if ROOT / "reports/out" not in p.parents)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module, level) of every import of a file, wherever in it that stands."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


def test_the_package_list_is_what_stands_on_disk() -> None:
    on_disk = {
        path.parent.relative_to(ROOT).as_posix() for path in sources() if path.name == "__init__.py"
    }
    assert set(FOLDERS.values()) == on_disk
    assert set(SETUPTOOLS["packages"]) == set(FOLDERS)
    for package, folder in FOLDERS.items():
        inside = "/".join(package.split(".")[1:])
        assert folder in (inside, f"harness/{inside}".rstrip("/"))


def test_every_folder_with_code_is_a_package() -> None:
    assert {path.parent for path in sources()} == {ROOT / folder for folder in FOLDERS.values()}


def test_nothing_imports_a_folder_of_the_root_by_its_bare_name() -> None:
    for path in (*sources(), *(ROOT / "tests").glob("*.py")):
        for module, level in imports(path):
            assert level or module.partition(".")[0] not in TOPS, path


@pytest.mark.parametrize("library", ONE_PLACE)
def test_what_is_heavy_is_imported_in_one_place(library: str) -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for module, level in imports(path)
        if not level and module.partition(".")[0] == library
    }
    assert importers
    assert all(path.startswith(ONE_PLACE[library]) for path in importers)


def test_what_a_module_imports_from_outside_is_required() -> None:
    """Or comes with what is: click with rich-click, MarkupSafe with Jinja2, ml_dtypes with JAX.
    Optax is imported by its name, since it is slow.  Hypothesis and what there are adapters for
    are extras, imported where they are asked for, and pytest is there where its plugin is."""
    words = PYPROJECT["project"]["dependencies"]
    required = {re.split("[<>=]", word)[0].replace("-", "_") for word in words}
    used = {
        module.partition(".")[0]
        for path in sources()
        for module, level in imports(path)
        if not level
    }
    outside = used - set(sys.stdlib_module_names) - {"backproof"}
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert [word.partition(">")[0] for word in extras["hypothesis"]] == ["hypothesis"]
    adapted = {"autograd", "keras", "sklearn", "tinygrad"}
    others = {"markupsafe", "ml_dtypes", "hypothesis", "pytest"}
    assert outside - others - adapted == required - {"click", "optax"}


def test_every_public_name_is_there() -> None:
    assert sorted(backproof.__all__) == backproof.__all__
    for name in backproof.__all__:
        assert getattr(backproof, name).__module__.startswith("backproof.")
        assert name in dir(backproof)
    assert set(backproof._HOME) == set(backproof.__all__)


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'backproof' has no attribute 'Transformer'"):
        _ = backproof.Transformer


def test_type_checkers_see_the_names_that_python_finds() -> None:
    tree = ast.parse((ROOT / "harness" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: (node.module or "").removeprefix("backproof.")
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == backproof._HOME


def test_the_version_is_the_distribution_s() -> None:
    assert version("backproof") == PYPROJECT["project"]["version"]
    scripts = distribution("backproof").entry_points.select(group="console_scripts")
    assert [(s.name, s.value) for s in scripts] == [("backproof", "backproof.cli:main")]
    assert callable(importlib.import_module("backproof.cli").main)
    plugins = distribution("backproof").entry_points.select(group="pytest11")
    assert [(p.name, p.value) for p in plugins] == [("backproof", "backproof.pytest_plugin")]


def test_what_is_not_python_ships_too() -> None:
    installed = Path(str(backproof.__file__)).parent
    others = {
        path for top in TOPS for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "out" not in path.parts
    }  # fmt: skip
    assert {path.name for path in others} >= {"py.typed", "report.html.jinja"}
    inside = {folder: package.split(".")[1:] for package, folder in FOLDERS.items()}
    for path in others:
        folder = path.parent.relative_to(ROOT).as_posix()
        assert installed.joinpath(*inside[folder], path.name).is_file(), path


def test_no_two_tests_have_one_name() -> None:
    """The first would never run."""
    for path in (ROOT / "tests").glob("*.py"):
        names = [n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
        assert len(names) == len(set(names)), path
