"""What the plugin costs pytest where nobody uses it: with it, as a multiple of without it.

    python benchmarks/pytest_start.py            # two minutes

The two are run in turns, each time in another process, and each pair gives one ratio of the
processor's time, which a busy machine moves less than the clock's; without is `-p no:backproof`.
Beside it stands the same with the plugin off in both: the scatter, within which no cost can be
seen.  Other plugins are off throughout, since they would only make the start longer and the
ratio smaller, and compiled modules are kept, as they usually are.  What the plugin has Python
import is told too.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

OURS = "backproof"
OFF = ("-p", f"no:{OURS}")
WAYS = {
    "pytest --version": ("--version", "--version"),
    "an empty folder": ("empty",),
    "a file of 200 empty tests": ("full",),
}
"""What is timed, and the arguments of each; `--version` twice loads the plugins."""

TESTS = "import pytest\n\n\n@pytest.mark.parametrize('i', range(200))\ndef test(i):\n    pass\n"
"""So that a cost for each test would show."""


@contextmanager
def project() -> Iterator[Path]:
    """A folder that does not use Backproof."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("empty", "full"):
            (folder / part).mkdir()
        (folder / "full" / "test_full.py").write_text(TESTS)
        (folder / "pytest.ini").write_text("[pytest]\n")
        yield folder


def command(*arguments: str) -> list[str]:
    """pytest with no plugin but ours."""
    others = sorted({e.name for e in entry_points(group="pytest11")} - {OURS})
    off = [word for name in others for word in ("-p", f"no:{name}")]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *off, *arguments]


def spent() -> float:
    """The processor's seconds of all processes that have been started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(folder: Path, arguments: Sequence[str]) -> float:
    """The processor's time of one start of pytest, to its end."""
    words, began = command(*arguments), spent()
    keeping = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    keeping.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(words, cwd=folder, env=keeping, capture_output=True, check=False)
    took = spent() - began
    if done.returncode not in (0, 5):
        raise SystemExit(f"{' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}")
    return took


def ratios(
    arguments: Sequence[str], rounds: int, first: Sequence[str] = (), second: Sequence[str] = OFF
) -> list[float]:
    """For each round the time with `first` over that with `second`, each in turn the earlier."""
    found = []
    with project() as folder:
        for way in (first, second):  # whose files are then in memory, and compiled
            seconds(folder, [*arguments, *way])
        for i in range(rounds):
            if i % 2:
                under = seconds(folder, [*arguments, *second])
                over = seconds(folder, [*arguments, *first])
            else:
                over = seconds(folder, [*arguments, *first])
                under = seconds(folder, [*arguments, *second])
            found.append(over / under)
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def imports() -> list[str]:
    """The modules that pytest itself does not need, and the plugin has imported."""
    words = "import sys, pytest; before = {*sys.modules}; import backproof.pytest_plugin; "
    words += "print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    return done.stdout.decode().split()


def shown(values: Sequence[float]) -> str:
    low, middle, high = quartiles(values)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, help="Where the page goes, instead of stdout.")
    given = parser.parse_args()
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    print(
        "# What the plugin costs where it is not used\n\n"
        f"`python benchmarks/pytest_start.py --rounds {given.rounds}`\n\n"
        "The processor's time with the plugin as a multiple of that without it: the median of "
        f"{given.rounds} pairs, and in brackets the quartiles. The last column is the same with "
        "the plugin off in both, so it is the scatter of the machine.\n\n"
        "| pytest on | off, ms | on over off | off over off |\n| --- | ---: | ---: | ---: |"
    )
    for name, arguments in WAYS.items():
        with project() as folder:
            seconds(folder, [*arguments, *OFF])
            usual = statistics.median(seconds(folder, [*arguments, *OFF]) for _ in range(5))
        on = ratios(arguments, given.rounds)
        off = ratios(arguments, given.rounds, first=OFF)
        print(f"| {name} | {1e3 * usual:.0f} | {shown(on)} | {shown(off)} |", flush=True)
    print(f"\nIt imports {', '.join(f'`{name}`' for name in imports())}.")


if __name__ == "__main__":
    main()
