"""The server's log: one entry a line, to a file, to standard output and to the table `rethinkdb.logs`.

What always holds: an entry is one line, whatever is in its message; the copy on standard output has no timestamp, and a
notice there has no prefix; nothing that goes wrong while logging stops the server. Rooms log with the standard library
(`logging.getLogger("rethought.<room>")`); only `server.py` and `cli` call `setup`.
"""

import contextlib
import io
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import msgspec

NOTICE: Final = 25
"""Between `logging.INFO` and `logging.WARNING`: what an operator wants to see at the start and at the end."""

LEVELS: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    NOTICE: "notice",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}
RECENT_MAX: Final = 1_000
TAIL_BYTES: Final = 256 << 10

# What a client sends may end up in a message; it must neither forge an entry nor play with a terminal.
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {10: "\\n"}
_ESCAPED_ON_CONSOLE: Final = {code: text for code, text in _ESCAPED.items() if code not in (9, 10)}

ROOT: Final = logging.getLogger("rethought")


class Entry(msgspec.Struct, frozen=True):
    """One entry. `time_ns` since 1970, `uptime` in seconds."""

    time_ns: int
    uptime: float
    level: str
    message: str
    query: str | None = None  # the id of the query it is about, as in `jobs`
    fields: dict[str, object] | None = None  # what the message says, for programs

    def line(self) -> str:
        """As in the log file: `2026-11-22T07:01:15.529110683 0.001704s notice: message`."""
        message = self.full_message.translate(_ESCAPED)
        return f"{timestamp(self.time_ns)} {self.uptime:.6f}s {self.level}: {message}"

    @property
    def full_message(self) -> str:
        """With the query's id in front, where there is no field of its own for it."""
        return self.message if self.query is None else f"[query {self.query}] {self.message}"

    def json(self) -> str:
        fields: dict[str, object] = {
            "time": timestamp(self.time_ns) + "Z",
            "uptime": round(self.uptime, 6),
            "level": self.level,
            "message": self.message,
        }
        if self.query is not None:
            fields["query"] = self.query
        if self.fields is not None:
            fields |= self.fields
        return msgspec.json.encode(fields).decode()


class Log(logging.Handler):
    """Turns records into entries and sends each to its destinations."""

    def __init__(self) -> None:
        super().__init__()
        self.recent: deque[Entry] = deque(maxlen=RECENT_MAX)  # for `rethinkdb.logs`, newest last
        self.started = time.monotonic()
        self.json = False
        self.console: TextIO | None = sys.stdout
        self.file: TextIO | None = None
        self.trouble: str | None = None  # why the last entry did not reach the file

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
        except Exception:  # a wrong format string must not cost more than its own entry
            message = str(record.msg)
        level = LEVELS.get(record.levelno, "info")
        now = time.time_ns()
        query = getattr(record, "query", None)
        fields = getattr(record, "fields", None)
        entry = Entry(now, time.monotonic() - self.started, level, message, query, fields)
        self.recent.append(entry)
        # A full disk or a reader that went away costs the entry, not the server.
        if self.file is not None:
            try:
                self.file.write((entry.json() if self.json else entry.line()) + "\n")
                self.file.flush()
            except (OSError, ValueError) as error:
                self.trouble = str(error)
            else:
                self.trouble = None
        with contextlib.suppress(OSError, ValueError):
            if self.console is not None and record.levelno > logging.INFO:
                self.console.write((entry.json() if self.json else console_text(entry)) + "\n")
                self.console.flush()

    def remember(self, path: Path) -> None:
        """Takes up what an earlier process wrote last, so that `rethinkdb.logs` goes back beyond the start."""
        with contextlib.suppress(OSError):
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, io.SEEK_END) - TAIL_BYTES))
                lines = file.read().splitlines()
            known = list(self.recent)
            self.recent.clear()
            self.recent.extend(entry for line in lines if (entry := parsed(line)) is not None)
            self.recent.extend(known)

    def open_file(self, path: Path) -> None:
        opened = path.open("a", encoding="utf-8", errors="backslashreplace")
        self.close_file()
        self.file = opened

    def close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


LOG: Final = Log()
"""The one log of the process."""


def setup(*, json: bool = False, console: TextIO | None = None, file: Path | None = None) -> Log:
    """Send what the package logs to `LOG`. Called once at the start, and again when the file is known."""
    LOG.json = json
    LOG.console = console or sys.stdout
    if file is not None:
        if LOG.file is None:
            LOG.remember(file)
        LOG.open_file(file)
    if LOG not in ROOT.handlers:
        ROOT.addHandler(LOG)
    ROOT.setLevel(logging.INFO)
    ROOT.propagate = False
    return LOG


def notice(message: str, *arguments: object) -> None:
    ROOT.log(NOTICE, message, *arguments)


def recent() -> Iterable[Entry]:
    """The newest entries, oldest first."""
    return tuple(LOG.recent)


def timestamp(time_ns: int) -> str:
    """UTC with nine digits, as in the log file."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}"


def parsed(line: bytes) -> Entry | None:
    """An entry as it was written, as text or JSON; None for what is none (a line cut off, somebody else's)."""
    try:
        if line.startswith(b"{"):
            fields = msgspec.json.decode(line, type=_Written)
            time_ns = nanoseconds(fields.time)
            return Entry(time_ns, fields.uptime, fields.level, fields.message, fields.query)
        found = _LINE.fullmatch(line.decode(errors="replace"))
        if found is None:
            return None
        moment, uptime, level, message = found.groups()
        return Entry(nanoseconds(moment), float(uptime), level, message.replace("\\n", "\n"))
    except (ValueError, msgspec.MsgspecError):
        return None


def nanoseconds(moment: str) -> int:
    """Since 1970, of a time as `timestamp` writes it."""
    seconds = datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1_000_000_000 + int(moment[20:29])


class _Written(msgspec.Struct):
    time: str
    uptime: float
    level: str
    message: str
    query: str | None = None


_LINE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}) (\d+\.\d+)s (\w+): (.*)")


def console_text(entry: Entry) -> str:
    message = entry.full_message.translate(_ESCAPED_ON_CONSOLE)
    return message if entry.level == "notice" else f"{entry.level}: {message}"
