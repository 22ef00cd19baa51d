"""What GitHub's runner hears in a step's output: `ActionCommand.cs` and its manager, in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LEVELS = ("error", "warning", "notice")
KNOWN = {
    *LEVELS, "debug", "group", "endgroup", "add-mask", "add-path", "set-env", "set-output",
    "save-state", "echo", "add-matcher", "remove-matcher", "stop-commands",
}  # fmt: skip
"""The commands that a runner takes from a step's output."""


@dataclass(frozen=True)
class Heard:
    """One command as the runner understands it."""

    name: str
    properties: dict[str, str] = field(default_factory=dict)
    data: str = ""


def parsed(line: str, registered: set[str]) -> Heard | None:
    """The command on a line: `::name key=value,key=value::data`, or `##[name key=value;]data`."""
    stripped = line.lstrip()
    end = stripped.find("::", 2) if stripped.startswith("::") else -1
    found = _heard(stripped[2:end], ",", stripped[end + 2 :], registered, _new) if end > 0 else None
    if found is not None:
        return found
    if (start := line.find("##[")) >= 0 and (end := line.find("]", start)) >= 0:
        return _heard(line[start + 3 : end], ";", line[end + 1 :], registered, _old)
    return None


def _heard(
    info: str, separator: str, data: str, registered: set[str], escapes: dict[str, str]
) -> Heard | None:
    name, _, words = info.partition(" ")
    if name.lower() not in registered:
        return None
    pairs = (word.split("=", 1) for word in words.strip().split(separator) if "=" in word)
    properties = {pair[0]: _unescaped(pair[1], escapes) for pair in pairs}
    message = {k: v for k, v in escapes.items() if v not in ":,"}
    return Heard(name.lower(), properties, _unescaped(data, message))


_new = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
_old = {"%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]", "%25": "%"}


def _unescaped(text: str, escapes: dict[str, str]) -> str:
    for escape, meant in escapes.items():
        text = text.replace(escape, meant)
    return text


def heard(output: str) -> list[Heard]:
    """The commands in a step's output, but for those between `stop-commands` and its word."""
    registered, stopped, found = set(KNOWN), "", []
    for line in re.split(r"\r\n|\r|\n", output):
        command = parsed(line, registered)
        if command is None:
            continue
        if stopped:
            if command.name == stopped:
                registered.discard(stopped)
                stopped = ""
        elif command.name == "stop-commands":
            stopped = command.data.lower()
            registered.add(stopped)
        else:
            found.append(command)
    assert not stopped, "the runner was never told to listen again"
    return found
