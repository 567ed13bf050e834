"""Networks and limits of users: as rows, at the door, and while queries run."""

import json
from typing import Any

import pytest

from rethought.catalog.records import UserLimits
from rethought.conversation import Refusal
from rethought.limits import DEFAULT_LIMITS
from rethought.reql.accounts import Account
from rethought.system.lockouts import lockout_issues
from rethought.wire.throttle import Throttle
from tests.asking import ask
from tests.system.conftest import Machine, array, create, get, insert, system, table, update

BOB = get(system("users"), "bob")


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.value(insert(system("users"), {"id": "bob", "password": False}))
    machine.value([188, ["bob", {"read": True, "write": True}]])
    return machine


def limit(machine: Machine, **limits: Any) -> None:
    assert machine.value(update(BOB, {"limits": limits}))["replaced"] == 1


def test_a_row_shows_what_was_set_and_nothing_else(machine: Machine) -> None:
    assert machine.value(BOB) == {"id": "bob", "password": False}
    change = {"networks": array("10.1.0.0/16", "::1"), "limits": {"connections": 2}}
    machine.value(update(BOB, change))
    shown = {
        "id": "bob",
        "password": False,
        "networks": ["10.1.0.0/16", "::1/128"],
        "limits": {"connections": 2},
    }
    assert machine.value(BOB) == shown
    machine.value(update(BOB, {"networks": None, "limits": {"connections": None}}))
    assert machine.value(BOB) == {"id": "bob", "password": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": "x"}, 'Expected an array for `networks`, got "x".'),
        (
            {"networks": array("10.0.0.1/8")},
            'Expected an address or a network like `10.0.0.0/8` in `networks`, got "10.0.0.1/8".',
        ),
        ({"limits": 3}, "Expected an object for `limits`, got 3."),
        ({"limits": {"x": 3}}, "Unexpected key(s) `x`."),
        (
            {"limits": {"connections": 0}},
            "Expected an integer greater than zero for `connections`, got 0.",
        ),
        (
            {"limits": {"query_seconds": True}},
            "Expected a number greater than zero for `query_seconds`, got true.",
        ),
    ],
)
def test_what_is_no_setting_is_refused(machine: Machine, change: Any, message: str) -> None:
    assert machine.first_error(update(BOB, change)) == message


def test_nobody_can_limit_admin(machine: Machine) -> None:
    admin = get(system("users"), "admin")
    message = "The user `admin` can't have networks or limits."
    assert machine.first_error(update(admin, {"limits": {"connections": 1}})) == message


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("::1", True),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_a_user_may_come_from_its_networks_only(
    machine: Machine, address: str, allowed: bool
) -> None:
    machine.value(update(BOB, {"networks": array("10.1.0.0/16", "::1")}))
    refusal = machine.engine.refusal("bob", address)
    assert refusal == (None if allowed else "User `bob` may not connect from this address.")
    assert machine.engine.refusal("admin", address) is None


def test_connections_are_counted_by_user(machine: Machine) -> None:
    limit(machine, connections=2)
    engine = machine.engine
    first, _ = (engine.client("bob", "127.0.0.1", port) for port in (1, 2))
    assert engine.refusal("bob", "127.0.0.1") == "Too many connections of user `bob` (limit 2)."
    assert engine.refusal("admin", "127.0.0.1") is None
    engine.gone(first)
    assert engine.refusal("bob", "127.0.0.1") is None


def test_queries_per_second_refill_with_time() -> None:
    now = [0.0]
    account = Account("bob", UserLimits(queries_per_second=2), DEFAULT_LIMITS, lambda: now[0])
    taken = [account.take() for _ in range(3)]
    assert taken[:2] == [None, None]
    assert taken[2] is not None
    assert taken[2].message == "Too many queries of user `bob` (limit 2 per second)."
    now[0] = 0.5
    assert account.take() is None
    assert account.take() is not None


def test_a_limit_of_queries_holds_for_all_connections_and_is_typed(machine: Machine) -> None:
    limit(machine, queries_per_second=1)
    clients = [machine.engine.client("bob", "127.0.0.1", port) for port in (1, 2)]
    replies = [ask(machine.engine, client, b"[1,1,{}]", lambda _: None) for client in clients]
    bodies = [json.loads(reply.body) for reply in replies]  # type: ignore[union-attr]
    assert bodies[0]["r"] == [1]
    assert (bodies[1]["t"], bodies[1]["e"]) == (18, 2000000)
    noreply = b'[1,1,{"noreply":true}]'
    refused = ask(machine.engine, clients[0], noreply, lambda _: None)
    assert isinstance(refused, Refusal)
    assert refused.body == b""


def test_a_limit_counts_at_once_for_who_is_connected(machine: Machine) -> None:
    client = machine.engine.client("bob", "127.0.0.1", 1)
    assert client.account is None
    limit(machine, query_seconds=3.5)
    assert client.account is not None
    assert client.account.limits.query_seconds == 3.5
    machine.value(update(BOB, {"limits": None}))
    assert client.account is None


def test_a_user_without_limits_has_no_account(machine: Machine) -> None:
    assert machine.engine.client("bob", "127.0.0.1", 1).account is None
    assert machine.engine.client("admin", "127.0.0.1", 1).account is None


def test_the_stricter_of_two_limits_counts() -> None:
    own = UserLimits(query_seconds=10, query_memory_bytes=1 << 40)
    account = Account("bob", own, DEFAULT_LIMITS)
    assert account.limits.query_seconds == 10
    assert account.limits.query_memory_bytes == DEFAULT_LIMITS.query_memory_bytes


def test_rows_read_by_one_query_are_limited(machine: Machine) -> None:
    machine.value(create("t"))
    t = table("t")
    machine.value(insert(t, array(*({"id": number} for number in range(10)))))
    limit(machine, query_rows=5)
    message = "The query reads too many rows (limit 5 for user `bob`)."
    for query in (t, [41, [t], {"index": "id"}], [39, [t, {"x": 1}]], update(t, {"x": 1})):
        response = machine.ask(query, "bob")
        assert (response["e"], response["r"]) == (2000000, [message]), query
    assert machine.value([43, [t]], "bob") == 10
    assert machine.value(get(t, 1), "bob") == {"id": 1}
    assert len(machine.value([182, [t, 0, 5]], "bob")) == 5
    assert machine.value(update(get(t, 1), {"x": 1}), "bob")["replaced"] == 1
    assert len(machine.value(t)) == 10


def test_a_query_that_takes_too_long_ends_for_that_user_alone(machine: Machine) -> None:
    limit(machine, query_seconds=0.01)
    endless = [43, [[39, [[173, [10_000_000]], [69, [array(1), [17, [[10, [1]], 3]]]]]]]]
    response = machine.ask(endless, "bob")
    assert response["e"] == 2000000
    assert response["r"] == ["The query ran for more than 0.01 seconds."]
    assert machine.value([24, [1, 1]], "bob") == 2


def test_settings_are_kept_and_go_with_the_user(machine: Machine) -> None:
    from rethought.catalog.users import NO_SETTINGS, Users

    limit(machine, connections=7)
    catalog = machine.catalog
    again = Users(catalog.group, lambda *_: None, lambda size: bytes(size))
    assert again.settings("bob").limits == UserLimits(connections=7)
    machine.value([54, [BOB]])
    machine.value(insert(system("users"), {"id": "bob", "password": False}))
    assert catalog.users.settings("bob") == NO_SETTINGS


def test_guessing_is_an_issue() -> None:
    throttle = Throttle(5.0, 64)
    for number in range(6):
        throttle.failed("10.0.0.1", f"user{number % 2}", float(number))
    (issue,) = lockout_issues(throttle.guessing(6.0))
    assert issue.type == "login_lockout"
    assert issue.info == {"address": "10.0.0.1", "failures": 6, "delay_seconds": 0.4}
    throttle.succeeded("10.0.0.1", "user0")
    assert throttle.guessing(6.0) == []
