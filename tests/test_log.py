"""The log: one line per entry, with or without a terminal, a disk, or a sane message."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rethought import log as server_log


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    server_log.setup(console=stream)
    yield stream
    server_log.LOG.close_file()
    server_log.ROOT.removeHandler(server_log.LOG)
    server_log.ROOT.propagate = True


def test_a_line_of_the_file_has_time_uptime_level_and_message(
    console: io.StringIO, tmp_path: Path
) -> None:
    server_log.setup(console=console, file=tmp_path / "log")
    server_log.notice("ready, %s", "here")
    logging.getLogger("rethought.wire").warning("two\nlines")
    first, second = (tmp_path / "log").read_text().splitlines()
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \d+\.\d{6}s notice: ready, here"
    assert re.fullmatch(pattern, first)
    assert second.endswith(r" warn: two\nlines")
    assert console.getvalue() == "ready, here\nwarn: two\nlines\n"


def test_info_goes_to_the_file_only(console: io.StringIO, tmp_path: Path) -> None:
    server_log.setup(console=console, file=tmp_path / "log")
    logging.getLogger("rethought.server").info("quiet")
    assert console.getvalue() == ""
    assert "info: quiet" in (tmp_path / "log").read_text()


def test_json_entries(console: io.StringIO) -> None:
    server_log.setup(console=console, json=True)
    server_log.notice("ready")
    entry = json.loads(console.getvalue())
    assert (entry["level"], entry["message"]) == ("notice", "ready")
    assert entry["time"].endswith("Z")


def test_json_entries_have_the_fields_of_what_they_say(console: io.StringIO) -> None:
    server_log.setup(console=console, json=True)
    logging.getLogger("rethought.x").warning(
        "slow: %s", 3, extra={"query": "q", "fields": {"event": "slow_query", "seconds": 3}}
    )
    entry = json.loads(console.getvalue())
    assert (entry["message"], entry["query"]) == ("slow: 3", "q")
    assert (entry["event"], entry["seconds"]) == ("slow_query", 3)


def test_an_exception_is_logged_with_its_stack(console: io.StringIO) -> None:
    try:
        raise ZeroDivisionError("on purpose")
    except ZeroDivisionError:
        logging.getLogger("rethought.wire").exception("bug")
    assert "ZeroDivisionError: on purpose" in server_log.recent()[-1].message


def test_a_closed_console_or_a_wrong_format_stops_nobody(console: io.StringIO) -> None:
    console.close()
    wrong = logging.LogRecord("x", 30, "", 1, "nobody %s sees %s this", (1,), None)
    server_log.LOG.emit(wrong)
    assert server_log.recent()[-1].message == "nobody %s sees %s this"


def test_control_characters_are_shown_not_obeyed(console: io.StringIO, tmp_path: Path) -> None:
    server_log.setup(console=console, file=tmp_path / "log")
    server_log.notice("a\x00b\x1b[31mc")
    assert (tmp_path / "log").read_text().endswith(r"notice: a\x00b\x1b[31mc" + "\n")
    assert console.getvalue() == r"a\x00b\x1b[31mc" + "\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_what_an_earlier_process_wrote_is_remembered(
    console: io.StringIO, tmp_path: Path, as_json: bool
) -> None:
    path = tmp_path / "log"
    earlier = server_log.Log()
    earlier.console = None
    earlier.json = as_json
    earlier.open_file(path)
    for number in range(1_500):
        record = logging.LogRecord(
            "rethought.x", logging.WARNING, "", 1, "n %d\nx", (number,), None
        )
        earlier.emit(record)
    earlier.close_file()
    with path.open("a") as file:
        file.write("no line of a log\n2026-11-22T07:01")
    later = server_log.Log()
    later.emit(logging.LogRecord("rethought.x", logging.ERROR, "", 1, "now", (), None))
    later.console = None
    later.remember(path)
    *old, new = later.recent
    assert new.message == "now"
    assert len(later.recent) == server_log.RECENT_MAX
    assert [entry.message for entry in old] == [f"n {n}\nx" for n in range(501, 1_500)]
    assert [entry.time_ns for entry in old] == [entry.time_ns for entry in list(earlier.recent)[1:]]
    assert {entry.level for entry in old} == {"warn"}


def test_a_log_without_a_file_yet_has_nothing_to_remember(tmp_path: Path) -> None:
    log = server_log.Log()
    log.remember(tmp_path / "nowhere")
    assert list(log.recent) == []
