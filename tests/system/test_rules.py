"""Rules: a user sees and writes only the rows for which its rules hold, whatever way it takes to them."""

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.conversation import Reply
from tests.asking import ask
from tests.system.conftest import Machine, array, create, delete, get, insert, system, table, update

BOB: Final = "bob"
T: Final = table("t")
ROW: Final = [10, [1]]


def function(body: Any) -> list[Any]:
    return [69, [array(1), body]]


def field(name: str) -> list[Any]:
    return [31, [ROW, name]]


OWN: Final = function([17, [field("owner"), "bob"]])
OPEN: Final = function([17, [field("open"), True]])


def grant(wanted: Any, target: Any = T) -> list[Any]:
    return [188, [target, BOB, wanted]]


def denied(right: str = "write") -> str:
    return f"User `bob` does not have the required `{right}` permission."


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.value(insert(system("users"), {"id": BOB, "password": False}))
    machine.value(create("t"))
    machine.value([75, [T, "owner"]])
    machine.value([140, [T]])
    return machine


def fill(machine: Machine, *rows: dict[str, Any]) -> None:
    machine.value(delete(T))
    for row in rows:
        machine.value(insert(T, row))


MINE: Final = {"id": 1, "owner": "bob", "open": True}
LOCKED: Final = {"id": 2, "owner": "bob", "open": False}
THEIRS: Final = {"id": 3, "owner": "amy", "open": True}


def test_every_way_to_read_shows_only_what_the_rule_holds_for(machine: Machine) -> None:
    fill(machine, MINE, LOCKED, THEIRS)
    machine.value(grant({"read": OWN}))
    ways: list[tuple[Any, Any]] = [
        ([43, [T]], 2),
        ([43, [T, function([21, [field("id"), 1]])]], 1),
        (get(T, 3), None),
        (get(T, 1), MINE),
        ([78, [T, 1, 3]], [MINE]),
        ([78, [T, "amy"], {"index": "owner"}], []),
        ([182, [T, 3, 9]], []),
        ([41, [T], {"index": "id"}], [MINE, LOCKED]),
        ([41, [T], {"index": "owner"}], [MINE, LOCKED]),
        ([42, [T], {"index": "owner"}], ["bob"]),
        ([148, [T, "id"]], LOCKED),
        ([148, [T], {"index": "owner"}], None),
        ([145, [T, "id"]], 3),
        ([50, [array({"k": 3}), "k", T]], []),
        ([93, [T, function([17, [field("owner"), "amy"]])]], False),
        ([86, [[39, [T, {"owner": "amy"}]]]], True),
    ]
    for query, expected in ways:
        if expected is None and query[0] == 148:
            assert machine.value(query, BOB)["owner"] == "bob"
        else:
            assert machine.value(query, BOB) == expected, query
    assert machine.value([43, [T]]) == 3


def test_writes_pass_over_hidden_rows_and_are_refused_for_locked_ones(machine: Machine) -> None:
    fill(machine, MINE, LOCKED, THEIRS)
    machine.value(grant({"read": OWN, "write": OPEN}))
    assert machine.value(delete(get(T, 3)), BOB)["skipped"] == 1
    assert machine.value(update(get(T, 3), {"x": 1}), BOB)["skipped"] == 1
    result = machine.value(update(T, {"x": 1}), BOB)
    assert (result["replaced"], result["errors"], result["first_error"]) == (1, 1, denied())
    assert machine.first_error(update(get(T, 1), {"owner": "amy"}), BOB) == denied()
    assert machine.first_error(update(get(T, 1), {"open": False}), BOB) == denied()
    assert machine.first_error(insert(T, {"id": 9, "owner": "amy", "open": True}), BOB) == denied()
    assert machine.value(insert(T, {"id": 9, "owner": "bob", "open": True}), BOB)["inserted"] == 1
    assert machine.value(get(T, 3)) == THEIRS
    assert machine.value(get(T, 2)) == LOCKED


def test_a_key_that_is_taken_by_a_hidden_row_tells_nothing_of_it(machine: Machine) -> None:
    fill(machine, THEIRS)
    machine.value(grant({"read": OWN, "write": True}))
    for conflict in ("error", "replace", "update"):
        row = {**THEIRS, "owner": "bob"}
        response = machine.value(insert(T, row, conflict=conflict, return_changes="always"), BOB)
        assert response["first_error"] == denied()
        assert "amy" not in json.dumps(response)
    assert machine.value(get(T, 3)) == THEIRS


def test_a_transaction_ends_at_a_row_that_is_refused(machine: Machine) -> None:
    fill(machine, MINE, LOCKED)
    machine.value(grant({"read": OWN, "write": OPEN}))
    response = machine.ask(update(T, {"x": 1}), BOB, transaction=True)
    assert (response["e"], response["r"]) == (6000000, [denied()])
    assert machine.value(get(T, 1)) == MINE


def test_a_rule_that_fails_does_not_hold(machine: Machine) -> None:
    fill(machine, MINE, {"id": 4})
    machine.value(grant({"read": OWN}))
    assert machine.value([43, [T]], BOB) == 1
    assert machine.value(get(T, 4), BOB) is None


def test_rules_with_other_literals_are_other_rules(machine: Machine) -> None:
    fill(machine, MINE, THEIRS)
    for owner, row in (("bob", MINE), ("amy", THEIRS), ("bob", MINE)):
        machine.value(grant({"read": function([17, [field("owner"), owner]])}))
        assert machine.value(T, BOB) == [row]


def test_a_rule_is_shown_and_can_be_given_to_somebody_else(machine: Machine) -> None:
    fill(machine, MINE, THEIRS)
    machine.value(grant({"read": OWN}))
    (row,) = machine.value([39, [system("permissions"), {"user": BOB}]])
    assert row["permissions"] == {"read": True}
    assert (
        row["rules"]["read"]["query"]
        == 'function(var1) { return var1.getField("owner").eq("bob"); }'
    )
    machine.value(insert(system("users"), {"id": "eve", "password": False}))
    copied = {
        "id": array("eve", *row["id"][1:]),
        "permissions": {"read": True},
        "rules": row["rules"],
    }
    machine.value(insert(system("permissions"), copied))
    assert machine.value(T, "eve") == [MINE]
    machine.value(grant({"read": True}))
    assert machine.value([43, [T]], BOB) == 2
    assert machine.value([43, [T]], "eve") == 1


def test_rules_survive_and_go_with_their_user(machine: Machine) -> None:
    machine.value(grant({"read": OWN}))
    id_ = machine.catalog.database("test").tables["t"].id
    from rethought.catalog.permissions import Permissions

    again = Permissions(machine.catalog.group, lambda *_: None)
    assert again.rules_of(BOB).keys() == {id_}
    machine.value(delete(get(system("users"), BOB)))
    assert machine.catalog.permissions.rules_of(BOB) == {}


@pytest.mark.parametrize(
    ("wanted", "target", "message"),
    [
        ({"config": OWN}, T, "The permission `config` cannot have a rule."),
        ({"read": OWN}, [14, ["test"]], "Rules are only valid for the tables of users."),
        ({"read": OWN}, system("jobs"), "Rules are only valid for the tables of users."),
        (
            {"read": [69, [array(1, 2), True]]},
            T,
            "The rule for `read` must be a function of one row.",
        ),
        (
            {"read": function([43, [T]])},
            T,
            "Could not prove the rule for `read` deterministic.  Rules may not depend on anything "
            "but the row.",
        ),
    ],
)
def test_what_cannot_be_a_rule_is_refused(
    machine: Machine, wanted: Any, target: Any, message: str
) -> None:
    assert machine.error(grant(wanted, target)) == message


def read_while(machine: Machine, query: Any, change: Any) -> list[dict[str, Any]]:
    """All batches of BOB's query; `change` is run by the administrator after the first."""
    client = machine.engine.client(BOB, "127.0.0.1", 1)
    bodies: list[dict[str, Any]] = []

    async def read() -> None:
        done = machine.loop.create_future()
        body = json.dumps([1, query, {"max_batch_rows": 1_000}]).encode()
        reply: Any = ask(machine.engine, client, body, done.set_result)
        reply = reply if isinstance(reply, Reply) else await done
        bodies.append(json.loads(reply.body))
        assert reply.cursor is not None
        change()
        while reply.cursor is not None:
            done = machine.loop.create_future()
            more: Any = reply.cursor.more(done.set_result)
            reply = more if hasattr(more, "body") else await done
            bodies.append(json.loads(reply.body))

    machine.loop.run_until_complete(read())
    return bodies


def fill_many(machine: Machine) -> None:
    many = function({"id": [24, [ROW, 10_000]], "owner": "bob", "open": True})
    machine.value(insert(T, [38, [[173, [5_000]], many]]))


def granted(machine: Machine, wanted: dict[str, Any]) -> Any:
    """A function that grants at once, on the loop."""

    def change() -> None:
        body = json.dumps([1, grant(wanted)]).encode()
        admin = machine.engine.client("admin", "127.0.0.1", 2)
        reply: Any = ask(machine.engine, admin, body, lambda _: None)
        machine.catalog.group.flush()
        assert not isinstance(reply, Reply) or b'"granted":1' in reply.body

    return change


def test_an_open_cursor_ends_when_the_right_to_read_is_taken(machine: Machine) -> None:
    fill_many(machine)
    machine.value(grant({"read": True}))
    bodies = read_while(machine, T, lambda: machine.catalog.permissions.forget_user(BOB))
    assert bodies[-1]["r"] == [denied("read")]


@pytest.mark.parametrize(
    ("before", "after"),
    [(True, OWN), (OWN, OPEN), (OWN, True)],
    ids=["a rule comes", "another comes", "it goes"],
)
@pytest.mark.parametrize("source", ["table", "index"])
def test_an_open_cursor_ends_when_the_rule_changes(
    machine: Machine, source: str, before: Any, after: Any
) -> None:
    fill_many(machine)
    machine.value(grant({"read": before}))
    query = T if source == "table" else [78, [T, "bob"], {"index": "owner"}]
    bodies = read_while(machine, query, granted(machine, {"read": after}))
    assert bodies[-1]["r"] == [denied("read")]
    assert sum(len(body["r"]) for body in bodies[:-1]) < 5_000


def test_an_open_cursor_goes_on_when_somebody_elses_rule_changes(machine: Machine) -> None:
    fill_many(machine)
    machine.value(grant({"read": OWN}))
    machine.value(create("other"))
    change = [188, [table("other"), BOB, {"read": OPEN}]]
    bodies = read_while(
        machine,
        T,
        lambda: ask(
            machine.engine,
            machine.engine.client("admin", "127.0.0.1", 2),
            json.dumps([1, change]).encode(),
            print,
        ),
    )
    assert sum(len(body["r"]) for body in bodies) == 5_000


# ---- against a model

rows = st.fixed_dictionaries(
    {"id": st.integers(0, 5)},
    optional={"owner": st.sampled_from(["bob", "amy"]), "open": st.booleans()},
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), rows, st.sampled_from(["error", "replace", "update"])),
        st.tuples(st.just("update"), st.integers(0, 5), rows),
        st.tuples(st.just("replace"), st.integers(0, 5), rows),
        st.tuples(st.just("delete"), st.integers(0, 5)),
    ),
    max_size=8,
)


def reads(row: Any) -> bool:
    return row.get("owner") == "bob"


def writes(row: Any) -> bool:
    return reads(row) and row.get("open") is True


def model(state: dict[int, Any], step: Any) -> None:
    """One write by the rules, the slow and obvious way."""
    kind, *rest = step
    key = rest[0]["id"] if kind == "insert" else rest[0]
    old = state.get(key)
    visible = old if old is not None and reads(old) else None
    if kind == "delete":
        new = None
    elif kind == "insert":
        row, conflict = rest
        if visible is not None and conflict == "error":
            return
        new = {**visible, **row} if visible is not None and conflict == "update" else row
    elif kind == "update":
        new = None if visible is None else {**visible, **rest[1], "id": key}
    else:
        new = {**rest[1], "id": key}
    if old is not None and visible is None:
        return  # hidden: nothing to change, and its key is taken
    if new == visible:
        return
    if any(row is not None and not writes(row) for row in (visible, new)):
        return
    if new is None:
        state.pop(key, None)
    else:
        state[key] = new


def query(step: Any) -> list[Any]:
    kind, *rest = step
    if kind == "insert":
        return insert(T, rest[0], conflict=rest[1])
    target = get(T, rest[0])
    if kind == "delete":
        return delete(target)
    if kind == "update":
        return update(target, {**rest[1], "id": rest[0]})
    return [55, [target, {**rest[1], "id": rest[0]}]]


@settings(max_examples=60)
@given(first=st.lists(rows, max_size=6, unique_by=lambda row: row["id"]), steps=steps)
def test_a_user_with_rules_does_what_the_model_does(
    machine: Machine, first: list[Any], steps: list[Any]
) -> None:
    machine.value(
        grant(
            {
                "read": OWN,
                "write": function(
                    [67, [[17, [field("owner"), "bob"]], [17, [field("open"), True]]]]
                ),
            }
        )
    )
    fill(machine, *first)
    state = {row["id"]: row for row in first}
    for step in steps:
        machine.value(query(step), BOB)
        model(state, step)
    by_key = sorted(state.values(), key=lambda row: row["id"])
    mine = [row for row in by_key if reads(row)]
    ordered = [41, [T], {"index": "id"}]
    assert machine.value(ordered) == by_key
    assert machine.value(ordered, BOB) == mine
    assert machine.value([43, [T]], BOB) == len(mine)
    keys = [row["id"] for row in mine]
    assert (
        sorted(row["id"] for row in machine.value([78, [T, "bob", "amy"], {"index": "owner"}], BOB))
        == keys
    )


# ---- feeds


class Feed:
    """An open feed of Bob's."""

    def __init__(self, machine: Machine, term: Any) -> None:
        self.machine = machine
        client = machine.engine.client(BOB, "127.0.0.1", 50_000)
        self.bodies: list[dict[str, Any]] = []

        async def start() -> Any:
            done = machine.loop.create_future()
            reply = ask(machine.engine, client, json.dumps([1, term, {}]).encode(), done.set_result)
            return reply if isinstance(reply, Reply) else await done

        reply = machine.loop.run_until_complete(start())
        self.first = json.loads(reply.body)
        self.cursor = reply.cursor
        self.ask()

    def ask(self) -> None:
        if self.cursor is not None:
            reply = self.cursor.more(self.told)
            if isinstance(reply, Reply):
                self.told(reply)

    def told(self, reply: Any) -> None:
        self.bodies.append(json.loads(reply.body))
        self.cursor = reply.cursor
        if self.cursor is not None:
            self.machine.loop.call_soon(self.ask)

    def values(self) -> list[Any]:
        self.machine.turn(6)
        return [value for body in self.bodies if body["t"] == 3 for value in body["r"]]


@pytest.mark.parametrize(
    "source",
    [T, [39, [T, {"open": True}]], [182, [T, 0, 9]]],
    ids=["table", "filter", "between"],
)
def test_a_feed_tells_only_of_rows_the_rule_holds_for(machine: Machine, source: Any) -> None:
    machine.value(grant({"read": OWN}))
    feed = Feed(machine, [152, [source]])
    open_to_all = {"id": 3, "owner": "amy", "open": True}
    fill(machine, MINE, open_to_all)
    machine.value(update(get(T, 3), {"owner": "bob"}))
    machine.value(update(get(T, 1), {"owner": "amy"}))
    assert feed.values() == [
        {"new_val": MINE, "old_val": None},
        {"new_val": {**open_to_all, "owner": "bob"}, "old_val": None},
        {"new_val": None, "old_val": MINE},
    ]


def test_a_feed_of_one_row_and_one_of_an_order_follow_the_rule(machine: Machine) -> None:
    fill(machine, THEIRS)
    machine.value(grant({"read": OWN}))
    point = Feed(machine, [152, [get(T, 3)], {"include_initial": True}])
    top = Feed(machine, [152, [[71, [[41, [T], {"index": "id"}], 1]]], {"include_initial": True}])
    assert point.first["r"] == [{"new_val": None}]
    assert top.first["r"] == []
    machine.value(update(get(T, 3), {"owner": "bob"}))
    seen = {**THEIRS, "owner": "bob"}
    assert point.values() == [{"new_val": seen, "old_val": None}]
    assert top.values() == [{"new_val": seen, "old_val": None}]


@pytest.mark.parametrize(
    "term",
    [[152, [T]], [152, [get(T, 1)]], [39, [[152, [T]], function(True)]]],
    ids=["table", "row", "with terms behind"],
)
def test_a_feed_ends_at_once_when_its_right_or_its_rule_is_taken(
    machine: Machine, term: Any
) -> None:
    machine.value(grant({"read": True}))
    feed = Feed(machine, term)
    machine.value(grant({"config": True}))
    assert feed.values() == []
    assert feed.cursor is not None
    machine.value(grant({"read": None}))
    assert feed.values() == []
    assert [body["e"] for body in feed.bodies] == [6000000]
    assert feed.bodies[0]["r"] == [denied("read")]
    machine.value(grant({"read": OWN}))
    feed = Feed(machine, term)
    machine.value(grant({"read": OPEN}))
    feed.values()
    assert feed.bodies[-1]["r"] == ["The rules of user `bob` for table `test.t` have changed."]
    assert not machine.engine.feeds.guarded


def test_users_with_different_rules_do_not_share_a_feed(machine: Machine) -> None:
    machine.value(insert(system("users"), {"id": "eve", "password": False}))
    machine.value(grant({"read": OWN}))
    machine.value([188, [T, "eve", {"read": OPEN}]])
    mine = Feed(machine, [152, [T]])
    client = machine.engine.client("eve", "127.0.0.1", 1)
    reply = ask(machine.engine, client, json.dumps([1, [152, [T]], {}]).encode(), lambda _: None)
    assert reply is not None
    fill(machine, THEIRS)
    assert mine.values() == []
