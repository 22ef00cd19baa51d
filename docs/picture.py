"""Draw the end of a run as the picture in the README.

backproof run --activation relu,tanh,gelu,softmax --loss squared_error,cross_entropy
python docs/picture.py reports/out/events.ndjson docs/run.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from backproof.reports.events import read
from backproof.reports.summary import summarise
from backproof.reports.terminal import render


def main(events: str, picture: str) -> None:
    """Render the terminal's view of `events` into an SVG that needs nothing from elsewhere."""
    console = Console(record=True, width=88, file=io.StringIO(), force_terminal=True)
    render(summarise(read(events)), console, "reports/out")
    svg = console.export_svg(title="backproof run")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"
    Path(picture).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
