"""Times: making them, taking them apart, ISO 8601 and time zones.

What always holds: a TIME pseudotype has a canonical `epoch_time` rounded to milliseconds and a `timezone` of the form
`+hh:mm`. The instant may be any finite number; the calendar knows the years 1400 to 9999 of the time's own zone and
refuses all others. The calendar is proleptic Gregorian and counts days, so no library's range gets in the way.
Callers: `pseudotypes` for times from outside, the time terms, arithmetic.
"""

from math import floor, modf
from typing import Final, NamedTuple, Never, cast

from rethought.datum.kinds import (
    TIME,
    TYPE_KEY,
    Datum,
    Number,
    is_binary,
    is_pseudotype,
    is_time,
    number,
    wrong_type,
)
from rethought.datum.text import pretty, truncated
from rethought.errors import NonExistenceError, QueryLogicError

UTC: Final = "+00:00"

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_MS: Final = 86_400_000
_EXACT_MS_MAX: Final = float(1 << 53)
"""From here on a double has no milliseconds left to round."""

_YEAR_MIN: Final = 1400
_YEAR_MAX: Final = 9999
_YEAR_RANGE: Final = f"Year is out of valid range: {_YEAR_MIN}..{_YEAR_MAX}"
_MONTH_DAYS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_ZONE_FORMS: Final = (
    "Valid time zones are `+hh:mm`, `-hh:mm`, `+hhmm`, `-hhmm`, `+hh`, `-hh` and `Z`."
)
_NO_ZONE: Final = "ISO 8601 string has no time zone, and no default time zone was provided."
_WEEK_DATE: Final = (
    "Due to limitations in the boost time library we use for parsing, we cannot support ISO week dates right now.  "
    "Sorry about that!  Please use years, calendar dates, or ordinal dates instead."
)


def make_time(epoch: Number, timezone: str = UTC) -> dict[str, Datum]:
    """The TIME of an instant; `timezone` is already normal. Rounds to milliseconds."""
    return {TYPE_KEY: TIME, "epoch_time": rounded(epoch), "timezone": timezone}


def rounded(seconds: Number) -> Number:
    """`seconds` to the nearest millisecond, halves away from zero. Raises for what is not finite."""
    if seconds.__class__ is int:
        return number(seconds)
    scaled = seconds * 1000.0
    if not -_EXACT_MS_MAX < scaled < _EXACT_MS_MAX:
        return number(seconds)
    whole = floor(abs(scaled) + 0.5)
    return number((-whole if scaled < 0 else whole) / 1000)


def epoch_of(time: Datum) -> Number:
    """`epoch_time` of a TIME. Raises for anything else."""
    return cast(Number, _field(time, "epoch_time"))


def timezone_of(time: Datum) -> str:
    """`timezone` of a TIME. Raises for anything else."""
    return cast(str, _field(time, "timezone"))


def _field(time: Datum, name: str) -> Datum:
    if isinstance(time, dict) and time.get(TYPE_KEY) == TIME:
        return time[name]
    if is_binary(time):
        raise wrong_type("OBJECT", time)
    if isinstance(time, dict) and is_pseudotype(time):
        # The original looks only for some pseudotype, then for the field.
        raise NonExistenceError(f"No attribute `{name}` in object:\n{pretty(time)}")
    raise not_a_time(time)


def not_a_time(value: Datum) -> QueryLogicError:
    return QueryLogicError(f"Not a TIME pseudotype: `{truncated(value)}`.")


# Time zones


def parse_timezone(text: str) -> str:
    """A zone as clients write it, as `+hh:mm`. Raises for everything that is not one."""
    if text == "Z":
        return UTC
    if text in ("-00", "-00:00"):
        raise QueryLogicError(f"`{text}` is not a valid time offset.")
    if text[:1] not in ("-", "+"):
        raise QueryLogicError(f"Timezone `{text}` does not start with `-` or `+`.")
    hours = _digits(text, 1, 2)
    at = 3
    minutes = "00"
    if at < len(text):
        at += text[at] == ":"
        minutes = _digits(text, at, 2)
        at += 2
    if at < len(text):
        raise _garbage(text[at:], "timezone", text)
    if int(hours) > 24:
        raise QueryLogicError(f"Hours out of range in `{text}`.")
    if int(minutes) > 59:
        raise QueryLogicError(f"Minutes out of range in `{text}`.")
    return UTC if hours == minutes == "00" else f"{text[0]}{hours}:{minutes}"


def zone_offset_s(timezone: str) -> int:
    """Seconds east of UTC of a normal zone. A day or more is no zone a clock can show."""
    offset = int(timezone[1:3]) * _HOUR_S + int(timezone[4:6]) * _MINUTE_S
    if offset >= 24 * _HOUR_S:
        sign = "-" if timezone[0] == "-" else ""
        time_logic(f"Offset out of range: {sign}{timezone[1:]}:00")
    return -offset if timezone[0] == "-" else offset


def in_timezone(time: Datum, timezone: str) -> dict[str, Datum]:
    """The same instant on the clocks of another zone."""
    return make_time(epoch_of(time), parse_timezone(timezone))


# The calendar


def time_logic(why: str) -> Never:
    raise QueryLogicError(f"Error in time logic: {why}.")


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01. Years start in March here, so that the leap day comes last."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month, day of a count of days from 1970-01-01."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def _checked_days(year: int, month: int, day: int) -> int:
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        time_logic(_YEAR_RANGE)
    if not 1 <= month <= 12:
        time_logic("Month number is out of range 1..12")
    if not 1 <= day <= 31:
        time_logic("Day of month value is out of range 1..31")
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month] + leap:
        time_logic("Day of month is not valid for year")
    return days_from_civil(year, month, day)


_FIRST_DAY: Final = days_from_civil(_YEAR_MIN, 1, 1)
_LAST_DAY: Final = days_from_civil(_YEAR_MAX, 12, 31)


class Clock(NamedTuple):
    """What calendar and clock of the time's own zone show: days since 1970-01-01, milliseconds since midnight."""

    days: int
    ms: int


def clock(time: Datum) -> Clock:
    """Raises when the year is out of the calendar's range."""
    days, ms_of_day = _clock(time)
    if not _FIRST_DAY <= days <= _LAST_DAY:
        time_logic(_YEAR_RANGE)
    return Clock(days, ms_of_day)


def _clock(time: Datum) -> tuple[int, int]:
    """As `clock`, in any year."""
    epoch = epoch_of(time)
    offset = zone_offset_s(timezone_of(time))
    # In whole milliseconds: doubles of this size are exact only up to 2**53 of them.
    ms = floor(abs(epoch) * 1000 + 0.5)
    return divmod((-ms if epoch < 0 else ms) + offset * 1000, _DAY_MS)


def year(time: Datum) -> int:
    return civil_from_days(clock(time).days)[0]


def month(time: Datum) -> int:
    return civil_from_days(clock(time).days)[1]


def day(time: Datum) -> int:
    return civil_from_days(clock(time).days)[2]


def day_of_week(time: Datum) -> int:
    """Monday is 1, Sunday 7."""
    return (clock(time).days + 3) % 7 + 1


def day_of_year(time: Datum) -> int:
    days = clock(time).days
    return days - days_from_civil(civil_from_days(days)[0], 1, 1) + 1


def hours(time: Datum) -> int:
    return _clock(time)[1] // 3_600_000


def minutes(time: Datum) -> int:
    return _clock(time)[1] // 60_000 % 60


def seconds(time: Datum) -> Number:
    """Whole seconds of the clock plus the fraction of `epoch_time` with its sign: 57.75 for -1.25."""
    fraction = modf(epoch_of(time))[0]
    return number(_clock(time)[1] // 1000 % 60 + round(fraction, 3))


def date(time: Datum) -> dict[str, Datum]:
    """Midnight of the time's day in its own zone."""
    days = clock(time).days
    timezone = timezone_of(time)
    return make_time(days * 86_400 - zone_offset_s(timezone), timezone)


def time_of_day(time: Datum) -> Number:
    """Seconds since midnight in the time's own zone."""
    return number(clock(time).ms / 1000)


def from_parts(
    year: int,
    month: int,
    day: int,
    timezone: str,
    *,
    hours: int = 0,
    minutes: int = 0,
    seconds: Number = 0,
) -> dict[str, Datum]:
    """The TIME of a calendar date and a clock reading, which rolls over.

    One sign counts for hours and minutes: when one of them is below zero, both are taken back.
    """
    days = _checked_days(year, month, day)
    zone = parse_timezone(timezone)
    moved = abs(hours) * _HOUR_S + abs(minutes) * _MINUTE_S
    whole = days * 86_400 + (-moved if hours < 0 or minutes < 0 else moved) - zone_offset_s(zone)
    return make_time(whole + rounded(seconds), zone)


# Arithmetic


def add(left: Datum, right: Datum) -> dict[str, Datum]:
    """TIME + NUMBER or NUMBER + TIME, in the time's zone. At least one is a TIME."""
    time, seconds = (left, right) if is_time(left) else (right, left)
    return make_time(epoch_of(time) + _number_of(seconds), timezone_of(time))


def sub(left: Datum, right: Datum) -> Datum:
    """TIME - NUMBER in the time's zone, or the seconds between two times. `left` is a TIME."""
    if is_time(right):
        return rounded(epoch_of(left) - epoch_of(right))
    return make_time(epoch_of(left) - _number_of(right), timezone_of(left))


def _number_of(value: Datum) -> Number:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wrong_type("NUMBER", value)


# ISO 8601


def format_iso8601(time: Datum) -> str:
    """`YYYY-MM-DDTHH:MM:SS[.mmm]+hh:mm`; milliseconds only when there are some."""
    days, ms = clock(time)
    year, month, day = civil_from_days(days)
    second, fraction = divmod(ms, 1000)
    text = (
        f"{year:04}-{month:02}-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    )
    return f"{text}.{fraction:03}{timezone_of(time)}" if fraction else text + timezone_of(time)


def parse_iso8601(text: str, default_timezone: str | None = None) -> dict[str, Datum]:
    """The TIME of an ISO 8601 text; one without a zone takes the default."""
    date_text, has_time, rest = text.partition("T")
    start = next((at for at in map(rest.find, "-+Z") if at >= 0), len(rest))
    time_text, zone_text = rest[:start], rest[start:]
    days_at = _parse_date(date_text)
    clock_s = _parse_time(time_text) if has_time else 0
    if zone_text:
        zone = parse_timezone(zone_text)
    elif default_timezone:
        zone = _default_zone(default_timezone)
    else:
        raise QueryLogicError(_NO_ZONE)
    offset = zone_offset_s(zone)
    return make_time(
        _checked_days(*days_at[:3]) * 86_400 + days_at[3] * 86_400 + clock_s - offset, zone
    )


def _default_zone(text: str) -> str:
    if text[0] not in "Z+-":
        # The name of a POSIX zone, as the original reads and prints it again.
        raise QueryLogicError(f"Invalid ISO 8601 timezone: `{text}+00`.")
    return parse_timezone(text)


def _parse_date(text: str) -> tuple[int, int, int, int]:
    """Year, month, day, and days to add to them (ordinal dates are days after the first of January)."""
    year = int(_digits(text, 0, 4))
    at = 4
    if at == len(text):
        return year, 1, 1, 0
    hyphens = text[at] == "-"
    at += hyphens
    if text[at : at + 1] == "W":
        raise QueryLogicError(_WEEK_DATE)
    if len(text) - at == 3:
        day_of_year = int(_digits(text, at, 3))
        if not 1 <= day_of_year <= 366:
            time_logic("Day of year value is out of range 1..366")
        return year, 1, 1, day_of_year - 1
    month = int(_digits(text, at, 2))
    at += 2
    if hyphens and at == len(text):
        return year, month, 1, 0
    if (text[at : at + 1] == "-") != hyphens:
        raise QueryLogicError(f"Date string `{text}` must have 0 or 2 hyphens.")
    at += hyphens
    day = int(_digits(text, at, 2))
    at += 2
    if at < len(text):
        raise _garbage(text[at:], "date", text)
    return year, month, day, 0


def _parse_time(text: str) -> Number:
    """Seconds since midnight; any two digits will do for hours, minutes and seconds."""
    seconds: Number = int(_digits(text, 0, 2)) * _HOUR_S
    at = 2
    if at == len(text):
        return seconds
    colons = text[at] == ":"
    at += colons
    seconds += int(_digits(text, at, 2)) * _MINUTE_S
    at += 2
    if at == len(text):
        return seconds
    if (text[at] == ":") != colons:
        raise QueryLogicError(f"Time string `{text}` must have 0 or 2 colons.")
    at += colons
    seconds += int(_digits(text, at, 2))
    at += 2
    if text[at : at + 1] == ".":
        fraction = _digits(text, at + 1, len(text) - at - 1)
        at = len(text)
        seconds += int(fraction[:3].ljust(3, "0")) / 1000
    if at < len(text):
        raise _garbage(text[at:], "time", text)
    return seconds


_DIGITS: Final = frozenset("0123456789")


def _digits(text: str, start: int, count: int) -> str:
    """`count` digits of `text`; the messages speak of dates and zones whatever is being read."""
    for at in range(start, start + count):
        if at >= len(text):
            raise _too_short(text)
        if text[at] not in _DIGITS:
            raise QueryLogicError(
                f"Invalid date string `{text}` (got `{text[at]}` but expected a digit)."
            )
    return text[start : start + count]


def _too_short(text: str) -> QueryLogicError:
    return QueryLogicError(f"Invalid time zone string `{text}`. {_ZONE_FORMS}")


def _garbage(rest: str, what: str, text: str) -> QueryLogicError:
    return QueryLogicError(f"Garbage characters `{rest}` at end of {what} string `{text}`.")
