"""Every term, every scope, every right: what is allowed and what is refused.

`NEEDS` says which rights a term asks for; all other terms are probed with a table for an argument, so that a new term
that reads rows without asking, or a new term without a row here, fails a test.
"""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import pytest

from rethought.conversation import Reply
from rethought.reql.spec import Determinism, Effect
from rethought.reql.terms import SPECS
from tests.asking import ask
from tests.system.conftest import Machine, array, get, insert

BOB: Final = "bob"
DB: Final = [14, ["d"]]
TABLE: Final = [15, [DB, "t"]]
OTHER: Final = [15, [DB, "u"]]
ROW: Final = get(TABLE, 1)
PERMISSIONS: Final = [15, [[14, ["rethinkdb"]], "permissions"]]
SELF: Final = [69, [array(1), [10, [1]]]]
TRUE: Final = [69, [array(1), True]]
POINT: Final = [159, [1, 1]]
HOOK: Final = [69, [array(1, 2, 3), [10, [3]]]]

Right = tuple[str, str]
"""A right and where: `all`, `d`, `t`, `u`, `rethinkdb`, `permissions`, ..."""

READ: Final = (("read", "t"),)
WRITE: Final = (("write", "t"),)
CONFIG: Final = (("config", "t"),)
BOTH: Final = (("config", "d"), ("config", "t"), ("config", "u"))
SIGHT: Final = (("sight", "t"),)
FREE: Final = ()


class Case(NamedTuple):
    """A query, the rights it needs in the order in which they are asked for."""

    query: Any
    needs: tuple[Right, ...]


# By the number of the term.
NEEDS: Final[dict[int, list[Case]]] = {
    15: [Case(TABLE, READ)],
    16: [Case(ROW, READ)],
    78: [Case([78, [TABLE, 1]], READ), Case([78, [TABLE, 1], {"index": "i"}], READ)],
    182: [Case([182, [TABLE, 0, 9]], READ), Case([182, [TABLE, 0, 9], {"index": "i"}], READ)],
    43: [Case([43, [TABLE]], READ), Case([43, [[182, [TABLE, 0, 9]]]], READ)],
    50: [
        Case([50, [array({"k": 1}), "k", TABLE]], READ),
        Case([50, [TABLE, "id", OTHER]], (*READ, ("read", "u"))),
    ],
    48: [Case([48, [array(1), TABLE, [69, [array(1, 2), True]]]], READ)],
    49: [Case([49, [array(1), TABLE, [69, [array(1, 2), True]]]], READ)],
    44: [Case([44, [array(1), TABLE]], READ)],
    79: [Case([79, [TABLE]], READ), Case([79, [DB]], FREE)],
    152: [Case([152, [TABLE]], READ), Case([152, [ROW]], READ)],
    56: [
        Case(insert(TABLE, {"id": 2}), WRITE),
        Case(insert(TABLE, {"id": 1}, conflict="replace"), WRITE),
        Case(insert(OTHER, TABLE), (("write", "u"), ("read", "t"))),
        Case([56, [TABLE, {"id": 3}], {"ignore_write_hook": True}], (*CONFIG, *WRITE)),
    ],
    53: [Case([53, [ROW, {"a": 1}]], WRITE), Case([53, [TABLE, {"a": 1}]], WRITE)],
    55: [Case([55, [ROW, {"id": 1}]], WRITE)],
    54: [Case([54, [ROW]], WRITE), Case([54, [TABLE]], WRITE)],
    68: [Case([68, [array(1), [69, [array(1), insert(TABLE, {"id": 5})]]]], WRITE)],
    138: [Case([138, [TABLE]], WRITE)],
    57: [Case([57, ["fresh"]], (("config", "all"),))],
    58: [Case([58, ["d"]], BOTH)],
    59: [Case([59, []], FREE)],
    60: [Case([60, [DB, "fresh"]], (("config", "d"),))],
    61: [Case([61, [DB, "t"]], CONFIG)],
    62: [Case([62, [DB]], (("sight", "d"),)), Case([62, [[14, ["rethinkdb"]]]], FREE)],
    75: [Case([75, [TABLE, "fresh"]], CONFIG)],
    76: [Case([76, [TABLE, "i"]], CONFIG)],
    77: [Case([77, [TABLE]], SIGHT)],
    139: [Case([139, [TABLE]], SIGHT)],
    140: [Case([140, [TABLE]], SIGHT)],
    156: [Case([156, [TABLE, "i", "fresh"]], CONFIG)],
    189: [Case([189, [TABLE, HOOK]], CONFIG)],
    190: [Case([190, [TABLE]], CONFIG)],
    174: [Case([174, [TABLE]], CONFIG), Case([174, [DB]], (("config", "d"),))],
    175: [Case([175, [TABLE]], SIGHT)],
    176: [
        Case([176, [TABLE], {"shards": 1, "replicas": 1}], CONFIG),
        Case([176, [TABLE], {"shards": 1, "replicas": 1, "dry_run": True}], CONFIG),
        Case([176, [DB], {"shards": 1, "replicas": 1}], BOTH),
    ],
    177: [Case([177, [TABLE]], SIGHT), Case([177, [DB]], (("sight", "d"),))],
    179: [Case([179, [TABLE]], CONFIG), Case([179, [DB]], BOTH)],
    188: [
        Case([188, [BOB, {}]], (("read", "permissions"), ("write", "permissions"))),
        Case([188, [TABLE, BOB, {}]], (("read", "permissions"), ("write", "permissions"))),
    ],
    36: [Case([36, [TABLE, 0, 9]], READ)],
    166: [Case([166, [TABLE, POINT], {"index": "g"}], READ)],
    168: [Case([168, [TABLE, POINT], {"index": "g"}], READ)],
}

FORGOTTEN: Final = {"db_list"}
"""Every user may look there, as with the original; see docs/compatibility.md."""

CONNECT: Final = 153
"""HTTP, which needs the right `connect`; it is tried where there is a server to ask."""

Setting = dict[str, dict[str, bool]]
"""What is granted where."""


def settings() -> Iterator[Setting]:
    """Scopes and rights: alone, and a narrower scope against a wider one."""
    yield {}
    for where in ("all", "d", "t", "rethinkdb", "permissions"):
        for rights in (["read"], ["write"], ["config"], ["read", "write"], ["read", "config"]):
            yield {where: dict.fromkeys(rights, True)}
    every = dict.fromkeys(("read", "write", "config"), True)
    yield {"all": every, "permissions": every}
    for wide, narrow in (
        ("all", "d"),
        ("all", "t"),
        ("d", "t"),
        ("d", "u"),
        ("rethinkdb", "permissions"),
    ):
        for right in every:
            yield {wide: every, narrow: {right: False}}
            yield {wide: {right: False}, narrow: every}


def has(setting: Setting, right: str, where: str) -> bool:
    """The model: the most specific setting counts, the system database inherits nothing global."""
    if right == "sight":  # any business with it: what is in a database counts for the database
        inside = [setting.get(table, {}) for table in "tu"] if where == "d" else []
        return any(
            has(setting, name, where) or any(given.get(name) for given in inside)
            for name in ("read", "config")
        )
    if right == "write" and not has(setting, "read", where):
        return False
    scopes = {
        "t": ("t", "d", "all"),
        "u": ("u", "d", "all"),
        "permissions": ("permissions", "rethinkdb"),
    }.get(where, (where, "all"))
    return next((setting[s][right] for s in scopes if right in setting.get(s, {})), False)


class World:
    """A database `d` with tables `t` and `u`, restored before each query."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.value(insert([15, [[14, ["rethinkdb"]], "users"]], {"id": BOB, "password": False}))

    def restore(self, setting: Setting) -> None:
        machine, catalog = self.machine, self.machine.catalog
        if "d" not in catalog.databases:
            catalog.create_database("d")
        database = catalog.database("d")
        for name in ("t", "u"):
            if name not in database.tables:
                catalog.create_table(database, name)
        for name in set(database.tables) - {"t", "u"}:
            catalog.drop_table(database.tables[name])
        if "fresh" in catalog.databases:
            catalog.drop_database(catalog.database("fresh"))
        table = database.tables["t"]
        if "i" not in table.indexes:
            machine.value([75, [TABLE, "i"]])
            machine.value([75, [TABLE, "g"], {"geo": True}]) if "g" not in table.indexes else None
            machine.value([140, [TABLE]])
        if "fresh" in table.indexes:
            catalog.drop_index(table, "fresh")
        if table.write_hook is None:
            machine.value([189, [TABLE, HOOK]])
        if not machine.value([43, [TABLE]]):
            machine.value(insert(TABLE, {"id": 1}))
        catalog.permissions.forget_user(BOB)
        for where, rights in setting.items():
            catalog.permissions.grant((BOB, *self.scope(where)), rights)

    def scope(self, where: str) -> tuple[str | None, str | None]:
        catalog = self.machine.catalog
        if where == "all":
            return None, None
        if where in ("t", "u"):
            database = catalog.database("d")
            return database.id, database.tables[where].id
        if where == "permissions":
            table = catalog.system_table(where)
            return table.db.id, table.id
        return catalog.database(where).id, None

    def answer(self, query: Any, user: str = BOB) -> dict[str, Any]:
        """The first batch."""
        body = json.dumps([1, query, {}]).encode()

        async def start() -> dict[str, Any]:
            done = self.machine.loop.create_future()
            client = self.machine.engine.client(user, "127.0.0.1", 50_000)
            reply = ask(self.machine.engine, client, body, done.set_result)
            if not isinstance(reply, Reply):
                reply = await done
            if reply.cursor is not None:
                reply.cursor.close()
            response: dict[str, Any] = json.loads(reply.body)
            return response

        return self.machine.loop.run_until_complete(start())


@pytest.fixture
def world(machine: Machine) -> World:
    return World(machine)


def denied(right: str) -> str:
    return f"User `{BOB}` does not have the required `{right}` permission."


def refusal(response: dict[str, Any]) -> str | None:
    return response["r"][0] if response["t"] == 18 and "permission" in response["r"][0] else None


@pytest.mark.parametrize("number", sorted(NEEDS), ids=lambda number: SPECS[number].name)
def test_a_term_is_allowed_with_the_rights_it_needs_and_only_then(
    world: World, number: int
) -> None:
    for case, setting in product(NEEDS[number], settings()):
        world.restore(setting)
        response = world.answer(case.query)
        missing = [right for right, where in case.needs if not has(setting, right, where)]
        said = refusal(response)
        if missing:
            assert said is not None, (case, setting, response)
            told = "read" if missing[0] == "sight" else missing[0]
            assert said.endswith(denied(told)), (case, setting, response)
        else:
            assert response["t"] < 16, (case, setting, response)


def test_admin_needs_no_rights(world: World) -> None:
    for cases in NEEDS.values():
        for case in cases:
            world.restore({})
            assert world.answer(case.query, "admin")["t"] < 16, case


ID: Final = [170, [ROW, "id"]]
TIME: Final = [101, [ID]]
TEXT: Final = [51, [ID, "string"]]
PARTS: Final = (ID, TEXT, TIME, [94, [ROW]], [159, [ID, ID]], {"type": TEXT})
"""What comes of a row, one of each kind of data."""

KEYS: Final = [94, [ROW]]
TRIANGLE: Final = [161, [array(ID, ID), array(5, 1), array(1, 5)]]
SPELLED: Final[dict[int, Any]] = {
    3: {"a": ID},
    10: [64, [SELF, ID]],
    13: [64, [[69, [array(1), [13, []]]], ID]],
    40: [40, [TABLE, [69, [array(1), array(1)]]]],
    45: [45, [KEYS, 0]],
    51: [51, [ID, "string"]],
    64: [64, [SELF, ID]],
    69: [64, [[69, [array(1), ID]], 1]],
    72: [72, [array({"left": ROW})]],
    73: [41, [TABLE, [73, ["id"]]]],
    74: [41, [TABLE, [74, ["id"]]]],
    82: [82, [KEYS, 0, 1]],
    83: [83, [KEYS, 0]],
    84: [84, [KEYS, 0, 1]],
    85: [85, [KEYS, 0, array(1)]],
    98: [98, [[172, [ROW]]]],
    99: [99, ["2020-01-01T00:00:00"], {"default_timezone": [24, ["+0", TEXT, ":00"]]}],
    104: [104, [TIME, "Z"]],
    136: [136, [2020, ID, 1, "Z"]],
    137: [35, [{}, {"a": [137, [ID]]}]],
    143: [143, ["a", ID]],
    150: [150, [[144, [array(ROW), "id"]]]],
    154: [2, [[154, [KEYS]]]],
    157: [157, [{"type": "Point", "coordinates": array(ID, ID)}]],
    160: [160, [array(ID, ID), array(1, 2)]],
    161: TRIANGLE,
    163: [163, [TRIANGLE, POINT]],
    164: [164, [TRIANGLE, POINT]],
    165: [165, [[159, [ID, ID]], 1]],
    167: [167, [[160, [array(ID, ID), array(5, 1), array(1, 5), array(ID, ID)]]]],
    171: [171, [TRIANGLE, [161, [array(1.5, 1.5), array(2, 1.5), array(1.5, 2)]]]],
    197: [197, ["{id}", ROW]],
}
"""Terms that want arguments of their own: with something of a row in each."""

WITHOUT_PROBE: Final = {
    **dict.fromkeys((14, 12), "never gives a value to see: a database by its name, an error"),
    **{n: "takes no argument" for n, spec in SPECS.items() if spec.arity[1] == 0 and n != 13},
}


def probes(world: World) -> Iterator[tuple[int, Any]]:
    """Queries that work for admin: terms without a row in NEEDS, with what comes of a table as an argument."""
    others = [1, "id", {"id": 1}, SELF, TRUE, [69, [array(1, 2), [10, [1]]]], array(1), ROW]
    for number, spec in SPECS.items():
        if number in NEEDS or number == CONNECT:
            continue
        world.restore({})  # what has no row above changes nothing
        if number in SPELLED:
            assert world.answer(SPELLED[number], "admin")["t"] < 16, number
            yield number, SPELLED[number]
            continue
        least, most = spec.arity
        arities = range(max(1, least), 1 + min(4, 3 if most is None else most))
        found = False
        for first, arity in product((TABLE, ROW), arities):
            for rest in product(others, repeat=arity - 1) if arity < 4 else [(1, 1, 1)]:
                query = [number, [first, *rest]]
                if world.answer(query, "admin")["t"] < 16:
                    yield number, query
                    found = True
                    break
        for first in () if found else PARTS:
            query = [number, [first] * max(1, least)]
            if world.answer(query, "admin")["t"] < 16:
                yield number, query
                break


def test_who_may_not_read_a_table_learns_nothing_of_its_rows_from_any_other_term(
    world: World,
) -> None:
    """Terms without a row above, with a table for an argument and whatever makes the query work for the rest."""
    silent, asked = set(), set()
    unprobed = SPECS.keys() - NEEDS.keys() - {CONNECT}
    for number, query in probes(world):
        unprobed.discard(number)
        said = refusal(world.answer(query))
        (silent if said is None else asked).add(SPECS[number].name)
    assert unprobed == WITHOUT_PROBE.keys() - NEEDS.keys()
    assert silent <= {"typeof", "and", "or", "branch", "funcall", "default", "error"}, silent


def test_with_a_rule_that_never_holds_every_term_answers_as_for_an_empty_table(
    world: World,
) -> None:
    reads = [
        (number, case.query)
        for number, cases in NEEDS.items()
        for case in cases
        if case.needs == READ and number != 79
    ]
    never = [188, [TABLE, BOB, {"read": [69, [array(1), False]]}]]
    unequal = []
    for number, query in [*reads, *probes(world)]:
        world.restore({"u": {"read": True}})
        if SPECS[number].determinism == Determinism.NEVER and number != 152:
            continue
        world.machine.value(never)
        ruled = world.answer(query)
        world.machine.value([54, [TABLE]])
        empty = world.answer(query, "admin")
        if ruled != empty:
            unequal.append((SPECS[number].name, query, ruled, empty))
    assert not unequal, unequal


def test_what_the_original_forgot_to_check_is_listed() -> None:
    free = {SPECS[number].name for number, cases in NEEDS.items() if (*cases,)[0].needs == FREE}
    assert free == FORGOTTEN


def test_every_term_with_an_effect_has_a_row() -> None:
    touching = Effect.READ | Effect.WRITE
    missing = {
        spec.name
        for number, spec in SPECS.items()
        if spec.effect & touching and number not in NEEDS and number != CONNECT
    }
    assert missing == set()
