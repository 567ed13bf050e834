import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum import time
from rethought.datum.kinds import is_time
from rethought.errors import NonExistenceError, QueryLogicError
from tests.datum.strategies import times

TOO_SHORT = (
    "Invalid time zone string `{}`. "
    "Valid time zones are `+hh:mm`, `-hh:mm`, `+hhmm`, `-hhmm`, `+hh`, `-hh` and `Z`."
)
YEAR_RANGE = "Error in time logic: Year is out of valid range: 1400..9999."
WEEKS = "Due to limitations in the boost time library"


def parsed(text, default=None):
    value = time.parse_iso8601(text, default)
    return value["epoch_time"], value["timezone"]


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2013", 1356998400),
        ("2013-01", 1356998400),
        ("2013-01-31", 1359590400),
        ("20130131", 1359590400),
        ("2013-031", 1359590400),
        ("2013031", 1359590400),
        ("2013-366", 1388534400),
        ("2012-02-29", 1330473600),
        ("1400-01-01", -17987443200),
        ("9999-12-31", 253402214400),
    ],
)
def test_dates(text, epoch):
    assert parsed(text, "Z") == (epoch, "+00:00")


@pytest.mark.parametrize(
    ("text", "epoch", "zone"),
    [
        ("12Z", 43200, "+00:00"),
        ("12:30Z", 45000, "+00:00"),
        ("1230+05:30", 25200, "+05:30"),
        ("235959Z", 86399, "+00:00"),
        ("23:59:59.999Z", 86399.999, "+00:00"),
        ("12:00:00.Z", 43200, "+00:00"),
        ("12:00:00.123456Z", 43200.123, "+00:00"),
        ("12:00:00.9996Z", 43200.999, "+00:00"),
        ("12:00:00.5Z", 43200.5, "+00:00"),
        ("12-0000", 43200, "+00:00"),
        ("12-08", 72000, "-08:00"),
        ("12-0830", 73800, "-08:30"),
        ("25:00:00Z", 90000, "+00:00"),
        ("12:60:00Z", 46800, "+00:00"),
        ("12:00:60Z", 43260, "+00:00"),
    ],
)
def test_clock_readings_and_zones(text, epoch, zone):
    assert parsed(f"1970-01-01T{text}", "+03:00") == (epoch, zone)


def test_the_default_zone_stands_in_for_a_missing_one():
    assert parsed("2013-05-06T10:00:00", "-07") == (1367859600, "-07:00")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2013-02-29", "Error in time logic: Day of month is not valid for year."),
        ("2013-13-01", "Error in time logic: Month number is out of range 1..12."),
        ("2013-00-10", "Error in time logic: Month number is out of range 1..12."),
        ("2013-01-32", "Error in time logic: Day of month value is out of range 1..31."),
        ("2013-01-00", "Error in time logic: Day of month value is out of range 1..31."),
        ("0000-01-01", YEAR_RANGE),
        ("13-01-01", "Invalid date string `13-01-01` (got `-` but expected a digit)."),
        ("2013-1-1", "Invalid date string `2013-1-1` (got `-` but expected a digit)."),
        ("10000-01-01", "Invalid date string `10000-01-01` (got `-` but expected a digit)."),
        ("", TOO_SHORT.format("")),
        ("201", TOO_SHORT.format("201")),
        ("2013-05-06T", TOO_SHORT.format("")),
        ("201305", TOO_SHORT.format("201305")),
        ("2013-000", "Error in time logic: Day of year value is out of range 1..366."),
        ("2013367", "Error in time logic: Day of year value is out of range 1..366."),
        ("2013-0506", "Date string `2013-0506` must have 0 or 2 hyphens."),
        ("201305-06", "Date string `201305-06` must have 0 or 2 hyphens."),
        ("2013-05-06T12:3000Z", "Time string `12:3000` must have 0 or 2 colons."),
        (
            "2013-05-06 12:00:00Z",
            "Garbage characters ` 12:00:00Z` at end of date string `2013-05-06 12:00:00Z`.",
        ),
        (
            "2013-05-06T12:00:00 Z",
            "Garbage characters ` ` at end of time string `12:00:00 `.",
        ),
        (
            "2013-05-06T12:00:00,5Z",
            "Garbage characters `,5` at end of time string `12:00:00,5`.",
        ),
        (
            "2013-05-06T12:00:00z",
            "Garbage characters `z` at end of time string `12:00:00z`.",
        ),
        (
            "2013-05-06T12:00:00.5x",
            "Invalid date string `12:00:00.5x` (got `x` but expected a digit).",
        ),
        (
            "2013-05-06T12:00:00Z-01:00",
            "Garbage characters `Z` at end of time string `12:00:00Z`.",
        ),
        (
            "2013-05-06T12+01-02:00",
            "Invalid date string `12+01` (got `+` but expected a digit).",
        ),
        ("2013-05-06T12:00:00-00:00", "`-00:00` is not a valid time offset."),
        ("2013-05-06T12:00:00+25:00", "Hours out of range in `+25:00`."),
        ("2013-05-06T12:00:00+13:99", "Minutes out of range in `+13:99`."),
        ("2013-05-06T12:00:00+24:00", "Error in time logic: Offset out of range: 24:00:00."),
    ],
)
def test_what_iso8601_refuses(text, message):
    with pytest.raises(QueryLogicError) as raised:
        time.parse_iso8601(text, "Z")
    assert raised.value.message == message


@pytest.mark.parametrize("text", ["2012-W05-4", "2012W054"])
def test_week_dates_are_not_supported(text):
    with pytest.raises(QueryLogicError, match=WEEKS):
        time.parse_iso8601(text, "Z")


def test_a_time_needs_some_zone():
    with pytest.raises(QueryLogicError) as raised:
        time.parse_iso8601("2013-05-06T12:00:00")
    assert raised.value.message == (
        "ISO 8601 string has no time zone, and no default time zone was provided."
    )
    with pytest.raises(QueryLogicError) as raised:
        time.parse_iso8601("2013-05-06T10:00:00", "x")
    assert raised.value.message == "Invalid ISO 8601 timezone: `x+00`."


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Z", "+00:00"),
        ("+05", "+05:00"),
        ("-0330", "-03:30"),
        ("+05:45", "+05:45"),
        ("+24:59", "+24:59"),
    ],
)
def test_zones_are_normalised(text, zone):
    assert time.parse_timezone(text) == zone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bad", "Timezone `bad` does not start with `-` or `+`."),
        ("", "Timezone `` does not start with `-` or `+`."),
        ("+1", TOO_SHORT.format("+1")),
        ("+0x", "Invalid date string `+0x` (got `x` but expected a digit)."),
        ("+05:", TOO_SHORT.format("+05:")),
        ("+05:000", "Garbage characters `0` at end of timezone string `+05:000`."),
        ("-00:00", "`-00:00` is not a valid time offset."),
        ("-00", "`-00` is not a valid time offset."),
    ],
)
def test_what_is_not_a_zone(text, message):
    with pytest.raises(QueryLogicError) as raised:
        time.parse_timezone(text)
    assert raised.value.message == message


def test_parts_in_the_times_own_zone():
    moment = time.make_time(1375147296.681)
    shown = [
        part(moment)
        for part in (
            time.year,
            time.month,
            time.day,
            time.day_of_week,
            time.day_of_year,
            time.hours,
            time.minutes,
            time.seconds,
        )
    ]
    assert shown == [2013, 7, 30, 2, 211, 1, 21, 36.681]
    west = time.in_timezone(moment, "-07:00")
    assert (time.day(west), time.hours(west)) == (29, 18)
    assert time.time_of_day(west) == 66096.681
    assert time.date(west) == time.make_time(1375081200, "-07:00")


def test_seconds_add_the_signed_fraction():
    assert time.seconds(time.make_time(-1.25)) == 57.75
    assert time.seconds(time.make_time(1.25)) == 1.25


def test_instants_have_milliseconds():
    assert time.make_time(1375445163.08832)["epoch_time"] == 1375445163.088
    assert time.make_time(1.4445)["epoch_time"] == 1.445
    assert time.make_time(-1.0005)["epoch_time"] == -1.001
    assert time.make_time(1e300)["epoch_time"] == 1e300
    assert type(time.make_time(5.0)["epoch_time"]) is int


@pytest.mark.parametrize("epoch", [253402300800, -17987443201, 1e12, 1e300, -1e300])
def test_the_calendar_ends_where_its_years_do(epoch):
    moment = time.make_time(epoch)
    for part in (time.year, time.day_of_week, time.date, time.time_of_day, time.format_iso8601):
        with pytest.raises(QueryLogicError) as raised:
            part(moment)
        assert raised.value.message == YEAR_RANGE


def test_clocks_go_on_after_the_calendar():
    moment = time.make_time(253402300800 + 5 * 3600 + 6 * 60 + 7.5)
    assert [part(moment) for part in (time.hours, time.minutes, time.seconds)] == [5, 6, 7.5]


def test_the_zone_may_carry_a_time_over_the_calendars_end():
    last = time.make_time(253402300799)
    assert time.year(last) == 9999
    with pytest.raises(QueryLogicError, match="Year is out"):
        time.year(time.in_timezone(last, "+01:00"))


@pytest.mark.parametrize(
    ("epoch", "zone", "text"),
    [
        (1.5, "Z", "1970-01-01T00:00:01.500+00:00"),
        (-1.5, "Z", "1969-12-31T23:59:58.500+00:00"),
        (1.0009, "Z", "1970-01-01T00:00:01.001+00:00"),
        (2.058, "Z", "1970-01-01T00:00:02.058+00:00"),
        (1375147296.681, "+05:45", "2013-07-30T07:06:36.681+05:45"),
        (0, "-08:00", "1969-12-31T16:00:00-08:00"),
    ],
)
def test_iso8601_output(epoch, zone, text):
    assert time.format_iso8601(time.in_timezone(time.make_time(epoch), zone)) == text


@given(times)
def test_iso8601_output_reads_back(moment):
    assert time.parse_iso8601(time.format_iso8601(moment)) == moment


@given(st.dates(datetime.date(1400, 1, 1)))
def test_the_calendar_agrees_with_the_librarys(date):
    days = (date - datetime.date(1970, 1, 1)).days
    assert time.days_from_civil(date.year, date.month, date.day) == days
    assert time.civil_from_days(days) == (date.year, date.month, date.day)
    moment = time.make_time(days * 86400)
    assert time.day_of_week(moment) == date.isoweekday()
    assert time.day_of_year(moment) == date.timetuple().tm_yday


def test_times_from_parts():
    assert time.from_parts(2013, 2, 28, "Z") == time.make_time(1362009600)
    noon = time.from_parts(2012, 2, 29, "+03:30", hours=23, minutes=59, seconds=59.5)
    assert noon == time.make_time(1330547399.5, "+03:30")
    assert time.from_parts(2012, 2, 29, "Z", hours=24) == time.make_time(1330560000)
    assert time.from_parts(1970, 1, 1, "Z", hours=-1, seconds=-0.5)["epoch_time"] == -3600.5


@pytest.mark.parametrize(("hours", "minutes"), [(-1, 30), (1, -30), (-1, -30)])
def test_one_sign_counts_for_hours_and_minutes(hours, minutes):
    moment = time.from_parts(1970, 1, 1, "Z", hours=hours, minutes=minutes)
    assert moment == time.make_time(-5400)


def test_a_date_that_does_not_exist_counts_before_a_zone_that_does_not():
    with pytest.raises(QueryLogicError, match="Month number"):
        time.from_parts(1970, 13, 1, "x")


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ((2013, 2, 29), "Error in time logic: Day of month is not valid for year."),
        ((1399, 1, 1), YEAR_RANGE),
        ((10000, 1, 1), YEAR_RANGE),
    ],
)
def test_dates_the_calendar_lacks(date, message):
    with pytest.raises(QueryLogicError) as raised:
        time.from_parts(*date, "Z")
    assert raised.value.message == message


def test_arithmetic_keeps_the_zone():
    moment = time.make_time(10, "+01:00")
    assert time.add(moment, 5) == time.add(5, moment) == time.make_time(15, "+01:00")
    assert time.sub(moment, 5) == time.make_time(5, "+01:00")
    assert time.sub(moment, time.make_time(3)) == 7
    assert time.sub(time.make_time(1.3), time.make_time(1.1)) == 0.2


def test_two_times_cannot_be_added():
    with pytest.raises(QueryLogicError) as raised:
        time.add(time.make_time(1), time.make_time(2))
    assert raised.value.message == "Expected type NUMBER but found PTYPE<TIME>."
    with pytest.raises(NonExistenceError) as missing:
        time.add(time.make_time(1), None)
    assert missing.value.message == "Expected type NUMBER but found NULL."


def test_a_sum_past_all_numbers_is_refused():
    with pytest.raises(QueryLogicError) as raised:
        time.add(time.make_time(1.7e308), 1.7e308)
    assert raised.value.message == "Non-finite number: inf"


def test_other_values_are_no_times():
    with pytest.raises(QueryLogicError) as raised:
        time.year([5])
    assert raised.value.message == "Not a TIME pseudotype: `[\n\t5\n]`."
    with pytest.raises(NonExistenceError, match="No attribute `epoch_time` in object"):
        time.year({"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [0, 0]})


@given(times)
def test_dates_are_midnights(moment):
    midnight = time.date(moment)
    assert is_time(midnight)
    assert time.time_of_day(midnight) == 0
    assert time.day(midnight) == time.day(moment)
