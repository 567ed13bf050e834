"""Terms over geometry: arguments and optional arguments. The geometry itself is tested in `tests/datum/geo`."""

from types import SimpleNamespace
from typing import Any

import pytest

from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.env import Options
from rethought.reql.terms import geo

env: Any = SimpleNamespace(
    array_limit=100_000, defaults=Options(None, {}), in_place=False, tick=lambda: None
)
ORIGIN = geo.point(env, 0, 0)


def options(**given: Any) -> Options:
    return Options(env, {name: (lambda value=value: value) for name, value in given.items()})


def test_distance_in_units_and_systems() -> None:
    there = geo.point(env, 1, 0)
    assert geo.distance(env, ORIGIN, there, opts=options()) == pytest.approx(111319.49079327357)
    assert geo.distance(env, ORIGIN, there, opts=options(unit="km")) == pytest.approx(
        111.31949079327357
    )
    assert geo.distance(env, ORIGIN, there, opts=options(geo_system="unit_sphere")) == (
        pytest.approx(0.017453292519943295)
    )
    assert geo.distance(
        env, ORIGIN, there, opts=options(geo_system={"a": 2, "f": 0})
    ) == pytest.approx(0.03490658503988659)


def test_distance_takes_the_point_on_either_side() -> None:
    line = geo.line(env, [1, -1], [1, 1])
    assert geo.distance(env, line, ORIGIN, opts=options()) == geo.distance(
        env, ORIGIN, line, opts=options()
    )
    with pytest.raises(QueryLogicError, match="Expected geometry of type `Point` but found"):
        geo.distance(env, line, line, opts=options())


def test_distance_of_nothing_is_an_integer() -> None:
    nothing = geo.distance(env, ORIGIN, ORIGIN, opts=options())
    assert nothing == 0
    assert nothing.__class__ is int


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"unit": "parsec"}, QueryLogicError, "Unrecognized distance unit `parsec`."),
        ({"unit": 1}, QueryLogicError, "Expected type STRING but found NUMBER."),
        ({"geo_system": 1}, QueryLogicError, "Expected type STRING but found NUMBER."),
        (
            {"geo_system": "flat"},
            QueryLogicError,
            'Unrecognized geo system "flat" (valid options: "WGS84", "unit_sphere").',
        ),
        (
            {"geo_system": {"a": 1}},
            NonExistenceError,
            'No attribute `f` in object:\n{\n\t"a":\t1\n}',
        ),
    ],
)
def test_bad_options_are_refused(
    given: dict[str, Any], kind: type[QueryLogicError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        geo.distance(env, ORIGIN, ORIGIN, opts=options(**given))
    assert caught.value.message == message


def test_circle() -> None:
    polygon = geo.circle(env, [0, 0], 1, opts=options())
    assert polygon["type"] == "Polygon"
    assert len(polygon["coordinates"][0]) == 33  # type: ignore[index, arg-type]
    line = geo.circle(env, ORIGIN, 1, opts=options(fill=False, num_vertices=3, unit="km"))
    assert line["type"] == "LineString"
    assert len(line["coordinates"]) == 4  # type: ignore[arg-type]


def test_circle_refuses_odd_numbers_of_corners() -> None:
    with pytest.raises(QueryLogicError, match="Integer too large: -1"):
        geo.circle(env, ORIGIN, 1, opts=options(num_vertices=-1))
    with pytest.raises(QueryLogicError, match=r"num_vertices must be positive\."):
        geo.circle(env, ORIGIN, 1, opts=options(num_vertices=0))
    with pytest.raises(ResourceLimitError):
        geo.circle(env, ORIGIN, 1, opts=options(num_vertices=4_000_000_000))


def test_geojson_wants_an_object() -> None:
    with pytest.raises(QueryLogicError, match="Expected type OBJECT but found NUMBER"):
        geo.geojson(env, 1)
    with pytest.raises(NonExistenceError, match="Expected type OBJECT but found NULL"):
        geo.geojson(env, None)


def test_fill_closes_a_line() -> None:
    line = geo.line(env, [0, 0], [0, 1], [1, 1])
    assert geo.fill(env, line)["coordinates"] == [[[0, 0], [0, 1], [1, 1], [0, 0]]]
    with pytest.raises(QueryLogicError, match="Expected geometry of type `LineString`"):
        geo.fill(env, ORIGIN)


def test_every_row_names_its_optional_arguments() -> None:
    assert {term.type for term in geo.TERMS} == {
        157, 158, 159, 160, 161, 162, 163, 164, 165, 167, 171,
    }  # fmt: skip


def test_predicates_on_an_array_keep_what_they_hold_for() -> None:
    row = geo.line(env, [0, 0], [2, 0])
    points = [geo.point(env, 1, 0), geo.point(env, 3, 0), geo.point(env, 2, 0)]
    assert geo.intersects(env, points, row) == [points[0], points[2]]  # type: ignore[arg-type]
    assert geo.intersects(env, points[0], row) is True
    with pytest.raises(QueryLogicError, match="Cannot perform intersects on a sequence of seq"):
        geo.intersects(env, [[points[0]]], row)  # type: ignore[list-item]
    with pytest.raises(QueryLogicError, match="Not a GEOMETRY pseudotype: `1`"):
        geo.includes(env, [1], row)
