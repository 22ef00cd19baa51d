"""The event stream: what is written is read back, and what is not an event is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import streams
from click.testing import CliRunner

from backproof.checkers.comparison import Comparison
from backproof.checkers.verdict import Verdict
from backproof.cli import group
from backproof.reports import events
from backproof.reports.events import AnyEvent, CaseFinished, EventError, RunStarted
from backproof.reports.write import EventWriter, write_all


def case_read_back(case: CaseFinished) -> CaseFinished:
    (back,) = events.decode([events.encode(case)])
    assert isinstance(back, CaseFinished)
    return back


def lines(stream: list[AnyEvent]) -> list[bytes]:
    return [events.encode(event) for event in stream]


@pytest.mark.parametrize(
    "make", [streams.clean, streams.with_failure, streams.control_missed, streams.every_status]
)
def test_every_event_is_read_back_equal(make: Callable[[], list[AnyEvent]]) -> None:
    stream = make()
    assert list(events.decode(lines(stream))) == stream


def test_an_event_is_one_line_and_the_same_bytes_each_time() -> None:
    for event in streams.every_status():
        line = events.encode(event)
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert line == events.encode(event)


def test_the_order_of_options_does_not_matter() -> None:
    a, b = streams.started(options={"a": 1, "b": 2}), streams.started(options={"b": 2, "a": 1})
    assert events.encode(a) == events.encode(b)


def test_infinities_and_nan_survive_though_json_has_none() -> None:
    comparison = Comparison("jax", "input", "FAIL", np.inf, -np.inf, np.inf)
    back = case_read_back(streams.case(0, Verdict("FAIL", comparisons=(comparison,))))
    assert back.verdict.comparisons == (comparison,)
    resolution = case_read_back(streams.case(0, streams.passed(float("nan")))).verdict.resolution
    assert resolution is not None and np.isnan(resolution)


def test_numpy_scalars_are_written_as_numbers() -> None:
    back = case_read_back(streams.case(0, streams.passed(np.float64(0.5)), seed=np.int64(3)))
    assert back.verdict.resolution == 0.5 and back.seed == 3


def test_what_json_cannot_hold_is_refused_by_type() -> None:
    with pytest.raises(TypeError, match="cannot hold a ndarray"):
        events.encode(streams.started(options={"x": np.zeros(2)}))


def test_text_that_is_not_unicode_is_escaped() -> None:
    (back,) = events.decode([events.encode(streams.started(command="run \udcff"))])
    assert isinstance(back, RunStarted) and back.command == r"run \udcff"


def test_a_last_line_cut_short_is_left_out() -> None:
    whole = lines(streams.clean())
    for cut in (1, 10, len(whole[-1]) - 2):
        assert list(events.decode([*whole[:-1], whole[-1][:cut]])) == streams.clean()[:-1]


def test_a_last_line_without_its_line_feed_alone_is_read() -> None:
    whole = lines(streams.clean())
    assert list(events.decode([*whole[:-1], whole[-1][:-1]])) == streams.clean()


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage\n",
        b"\n",
        b'{"event":"run_finished","exit_code":0,"reason":"\xff"}\n',
        b"[" * 100_000 + b"\n",
        b'{"event":"unheard_of"}\n',
        b'{"event":"run_finished"}',
        b"[1, 2]\n",
        b'{"event":"run_started","format":"one"}\n',
    ],
)
def test_a_garbage_line_is_named_by_its_number(garbage: bytes) -> None:
    stream = [events.encode(streams.started()), garbage]
    with pytest.raises(EventError, match=r"run\.ndjson, line 2: "):
        list(events.decode(stream, "run.ndjson"))


def test_a_newer_format_is_refused_as_such() -> None:
    newer = events.encode(streams.started(format=events.VERSION + 1))
    with pytest.raises(EventError, match="has event format 3; this version reads up to 2"):
        list(events.decode([newer]))


def test_a_newer_format_is_refused_as_such_even_where_its_fields_have_changed() -> None:
    with pytest.raises(EventError, match="has event format 9; this version reads up to 2"):
        list(events.decode([b'{"event":"run_started","format":9,"genesis":1}\n']))


OLD = Path(__file__).parent / "data" / "events-format-1.ndjson"
"""Written by the first version that had format 1, before later ones added fields; never changed."""


def test_an_event_file_of_an_older_version_is_read_and_reported(tmp_path: Path) -> None:
    assert b'"source"' not in OLD.read_bytes()
    stream = events.read(OLD)
    first, *rest = streams.every_status()
    assert isinstance(first, events.RunStarted)
    assert stream[:-2] == [msgspec.structs.replace(first, format=1), *rest[:-1]]
    assert stream[-2:] == [streams.saved("case-1"), streams.every_status()[-1]]
    assert len(write_all(tmp_path, stream)) == 6


def test_a_newer_file_is_refused_in_one_sentence_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(events.encode(streams.started(format=events.VERSION + 1)))
    for arguments in ([str(path)], [str(OLD), "--output", str(tmp_path), "--against", str(path)]):
        result = CliRunner(env={"COLUMNS": "400"}).invoke(group, ["report", *arguments])
        assert result.exit_code == 4
        (sentence,) = re.findall(r"│ (.*?) +│", result.output)
        assert sentence == f"{path} has event format 3; this version reads up to 2."
        assert not (tmp_path / "report.json").exists()


def test_a_folder_of_a_run_is_read_by_its_events(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_bytes(OLD.read_bytes())
    assert events.read(tmp_path) == events.read(OLD)


def test_the_format_is_always_written() -> None:
    assert b'"format":2' in events.encode(streams.started())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EventError, match=r"events\.ndjson: No such file"):
        events.read(tmp_path / "events.ndjson")


def test_the_writer_flushes_each_event(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    with EventWriter(path) as writer:
        for n, event in enumerate(streams.clean(), 1):
            writer.write(event)
            assert events.read(path) == streams.clean()[:n]
    writer.close()


def test_the_writer_appends_and_drops_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    first, second, *_ = streams.clean()
    path.write_bytes(events.encode(first) + events.encode(second)[:20])
    with EventWriter(path) as writer:
        writer.write(second)
    with EventWriter(path) as writer:
        writer.write(second)
    assert events.read(path) == [first, second, second]


def test_a_run_may_have_no_events() -> None:
    assert list(events.decode([])) == []
