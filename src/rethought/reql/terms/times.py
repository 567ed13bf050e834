"""Times: making them, taking them apart, and the names of days and months.

What always holds: the calendar is `datum.time`'s; here are only the terms' arguments and whom an error blames.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rethought.datum import time
from rethought.datum.values import Datum, Number
from rethought.errors import QueryLogicError
from rethought.reql.checks import blamed, int_of, is_open_bound, narrow, number_of, string_of
from rethought.reql.nodes import Known
from rethought.reql.spec import Arg, Determinism, TermSpec, between, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env, Options

Later = Callable[[], Datum]

# ---- making times


def iso8601(env: "Env", text: str, *, opts: "Options") -> Datum:
    """STRING -> TIME. `default_timezone` is for texts without a zone."""
    zone = None
    if opts.has("default_timezone"):
        zone = string_of(opts.value("default_timezone"), "default_timezone")
    return blamed(lambda: time.parse_iso8601(text, zone), 0)


def epoch_time(env: "Env", seconds: Number) -> Datum:
    """NUMBER -> TIME in UTC"""
    return time.make_time(seconds)


def time_(env: "Env", first: Datum, *later: Later) -> Datum:
    """year, month, day[, hours, minutes, seconds], timezone -> TIME. All but the year are evaluated here."""
    count = 1 + len(later)
    if count not in (4, 7):
        raise QueryLogicError(f"Got {count} arguments to TIME (expected 4 or 7).")
    year = narrow(int_of(first, 0), 0)
    month, day = (narrow(int_of(later[at](), at + 1), at + 1) for at in (0, 1))
    if count == 4:
        return time.from_parts(year, month, day, string_of(later[2](), 3))
    hours, minutes = (narrow(int_of(later[at](), at + 1), at + 1) for at in (2, 3))
    seconds = number_of(later[4](), 5)
    zone = string_of(later[5](), 6)
    return time.from_parts(year, month, day, zone, hours=hours, minutes=minutes, seconds=seconds)


def now(env: "Env") -> Datum:
    """-> TIME: the same throughout a query."""
    result: Datum = env.now
    return result


def in_timezone(env: "Env", value: Datum, zone: Datum) -> Datum:
    """TIME, STRING -> TIME: the same instant."""
    return time.in_timezone(value, string_of(zone))


# ---- asking them


def during(env: "Env", value: Datum, lower: Datum, upper: Datum, *, opts: "Options") -> bool:
    """TIME, TIME, TIME -> BOOL. `left_bound` and `right_bound` are only looked at when the time equals that bound."""
    instant = time.epoch_of(value)
    least, most = time.epoch_of(lower), time.epoch_of(upper)
    if instant < least or (instant == least and is_open_bound(opts, "left_bound", "closed")):
        return False
    return instant < most or (instant == most and not is_open_bound(opts, "right_bound", "open"))


def _of_time(part: Callable[[Datum], Datum]) -> Callable[["Env", Datum], Datum]:
    def run(env: "Env", value: Datum) -> Datum:
        return part(value)

    run.__doc__ = part.__doc__
    return run


def _constant(value: int) -> Callable[["Env"], int]:
    return lambda env: value


# ---- the table

_PARTS: Final[tuple[tuple[int, str, Callable[[Datum], Datum]], ...]] = (
    (100, "to_iso8601", time.format_iso8601),
    (102, "to_epoch_time", time.epoch_of),
    (106, "date", time.date),
    (126, "time_of_day", time.time_of_day),
    (127, "timezone", time.timezone_of),
    (128, "year", time.year),
    (129, "month", time.month),
    (130, "day", time.day),
    (131, "day_of_week", time.day_of_week),
    (132, "day_of_year", time.day_of_year),
    (133, "hours", time.hours),
    (134, "minutes", time.minutes),
    (135, "seconds", time.seconds),
)

_NAMES: Final = (
    (107, "monday", 1),
    (108, "tuesday", 2),
    (109, "wednesday", 3),
    (110, "thursday", 4),
    (111, "friday", 5),
    (112, "saturday", 6),
    (113, "sunday", 7),
    (114, "january", 1),
    (115, "february", 2),
    (116, "march", 3),
    (117, "april", 4),
    (118, "may", 5),
    (119, "june", 6),
    (120, "july", 7),
    (121, "august", 8),
    (122, "september", 9),
    (123, "october", 10),
    (124, "november", 11),
    (125, "december", 12),
)

_DURING: Final = (
    'b["epoch_time"] <= a["epoch_time"] < c["epoch_time"]'
    ' if a["$reql_type$"] == b["$reql_type$"] == c["$reql_type$"] == "TIME" else slow'
)

TERMS: Final = (
    TermSpec(
        99,
        "iso8601",
        exactly(1),
        run=iso8601,
        args=(Arg.STRING,),
        optargs=("default_timezone",),
        known=Known.TIME,
    ),
    TermSpec(101, "epoch_time", exactly(1), run=epoch_time, args=(Arg.NUMBER,), known=Known.TIME),
    TermSpec(103, "now", exactly(0), run=now, determinism=Determinism.NOW, known=Known.TIME),
    TermSpec(104, "in_timezone", exactly(2), run=in_timezone, args=(Arg.TIME,)),
    TermSpec(
        105,
        "during",
        exactly(3),
        run=during,
        args=(Arg.TIME, Arg.TIME, Arg.TIME),
        optargs=("left_bound", "right_bound"),
        boolean=True,
        inline=_DURING,
    ),
    TermSpec(136, "time", between(4, 7), run=time_, eager=1, known=Known.TIME),
    *(
        TermSpec(type_, name, exactly(1), run=_of_time(part), args=(Arg.TIME,))
        for type_, name, part in _PARTS
    ),
    *(TermSpec(type_, name, exactly(0), run=_constant(value)) for type_, name, value in _NAMES),
)
