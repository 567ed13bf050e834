"""Indexes and write hooks through their terms."""

from typing import Any

import pytest

from tests.system.conftest import Machine, array, create, get, insert, table

T = table("t")


def var(number: int) -> list[Any]:
    return [10, [number]]


def field(number: int, name: Any) -> list[Any]:
    return [170, [var(number), name]]


def func(params: list[int], body: Any) -> list[Any]:
    return [69, [array(*params), body]]


def index(name: Any, function: Any = None, **options: Any) -> list[Any]:
    return [75, [T, name, *([] if function is None else [function])], options]


def status(machine: Machine, *names: str) -> Any:
    return machine.value([140, [T, *names]])


@pytest.fixture(autouse=True)
def rows(machine: Machine) -> None:
    machine.value(create("t"))
    machine.value(insert(T, array(*({"id": n, "a": n % 3} for n in range(9)))))


def count(machine: Machine, key: Any, name: str) -> Any:
    return machine.value([43, [[78, [T, key], {"index": name}]]])


def test_an_index_is_built_and_described(machine: Machine) -> None:
    assert machine.value(index("a")) == {"created": 1}
    (found,) = status(machine)
    assert found["query"] == "indexCreate('a', function(_var19) { return _var19.getField(\"a\"); })"
    assert (found["ready"], found["multi"], found["geo"], found["outdated"]) == (
        True,
        False,
        False,
        False,
    )
    assert count(machine, 1, "a") == 3


def test_an_index_is_made_again_from_its_binary(machine: Machine) -> None:
    machine.value(index("a", func([1], [24, [field(1, "a"), 10]]), multi=True))
    copied = [170, [[45, [[139, [T, "a"]], 0]], "function"]]
    assert machine.value(index("copy", copied)) == {"created": 1}
    first, second = status(machine)
    assert second["function"] == first["function"]
    assert second["multi"] is True
    assert count(machine, 11, "copy") == 3
    assert machine.value(index("single", copied, multi=False)) == {"created": 1}
    assert status(machine, "single")[0]["multi"] is False


def test_an_index_keeps_the_values_its_function_uses_from_outside(machine: Machine) -> None:
    each = func([7], index(var(7), func([1], [24, [field(1, var(7)), 100]])))
    assert machine.value([68, [array("a", "missing"), each]]) == {"created": 2}
    assert status(machine, "a")[0]["query"].endswith('return var1("a").add(100); })')
    assert count(machine, 101, "a") == 3
    bound = [64, [func([7], index("bound", func([1], [170, [var(7), "k"]]))), {"k": 5}]]
    assert machine.value(bound) == {"created": 1}
    status(machine)
    assert count(machine, 5, "bound") == 9


def test_an_index_function_must_be_deterministic(machine: Machine) -> None:
    response = machine.ask(index("x", func([1], [151, []])))
    assert response["r"] == [
        "Could not prove function deterministic.  Index functions must be deterministic."
    ]
    assert response["b"] == [2, 1]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("a", 'Expected type FUNCTION but found DATUM:\n"a"'),
        (
            [155, ["nothing"]],
            "Cannot create an sindex except from a reql_index_function returned from "
            "`index_status` in the field `function`.",
        ),
        (
            [155, ["$reql_index_function$ damaged"]],
            "Unrecognized secondary index version, secondary index not created.",
        ),
    ],
)
def test_what_is_no_index_function_is_refused(
    machine: Machine, function: Any, message: str
) -> None:
    assert machine.error(index("x", function)) == message


def test_an_index_is_replaced_by_a_rename(machine: Machine) -> None:
    machine.value(index("a"))
    machine.value(index("new", func([1], field(1, "id"))))
    status(machine)
    assert machine.value([156, [T, "new", "a"], {"overwrite": True}]) == {"renamed": 1}
    assert machine.value([77, [T]]) == ["a"]
    assert count(machine, 7, "a") == 1


def test_waiting_for_an_index_that_is_not_there_fails(machine: Machine) -> None:
    assert machine.error([140, [T, "x"]]) == "Index `x` was not found on table `test.t`."


def test_a_write_hook_changes_what_is_written_until_it_is_taken_away(machine: Machine) -> None:
    hook = func([1, 2, 3], [35, [var(3), {"seen": field(1, "primary_key")}]])
    set_hook = [189, [T, hook]]
    assert machine.value(set_hook) == {"created": 1}
    assert machine.value(set_hook) == {"replaced": 1}
    machine.value(insert(T, {"id": 100}))
    assert machine.value(get(T, 100)) == {"id": 100, "seen": 100}
    shown = machine.value([190, [T]])
    assert shown["query"].startswith("setWriteHook(function(var1, var2, var3) {")
    assert machine.value([189, [T, None]]) == {"deleted": 1}
    machine.value(insert(T, {"id": 101}))
    assert machine.value(get(T, 101)) == {"id": 101}
    binary = {"$reql_type$": "BINARY", "data": shown["function"]["data"]}
    assert machine.value([189, [T, binary]]) == {"created": 1}
    machine.value(insert(T, {"id": 102}))
    assert machine.value(get(T, 102)) == {"id": 102, "seen": 102}


def test_a_write_hook_takes_three_arguments(machine: Machine) -> None:
    assert (
        machine.error([189, [T, func([1], 1)]]) == "Write hook functions must expect 3 arguments."
    )


def test_functions_that_differ_in_a_literal_are_kept_as_they_were_sent(machine: Machine) -> None:
    for number in range(3):
        body = [17, [[31, [[10, [1]], "a"]], number]]
        machine.value([75, [table("t"), f"is{number}", [69, [array(1), body]]]])
    kept = [row["query"] for row in machine.value([139, [table("t")]])]
    assert [f".eq({number})" in query for number, query in enumerate(kept)] == [True] * 3
