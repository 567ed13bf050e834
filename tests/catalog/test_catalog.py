"""Databases, tables and indexes: made, found again after a restart, dropped."""

import pytest

from rethought.catalog import Catalog, FunctionRecord, IndexDefinition, MissingFileError
from rethought.catalog.moving import move_table
from rethought.errors import OpFailedError, QueryLogicError
from tests.catalog.conftest import Home

FIELD = IndexDefinition(FunctionRecord([1], [170, [[10, [1]], "f"]]), multi=True, geo=False)


def put(catalog: Catalog, table: object, key: bytes, doc: dict[str, object]) -> None:
    import json

    body = json.dumps(doc, sort_keys=True, separators=(",", ":")).encode()
    group = table.group  # type: ignore[attr-defined]
    group.write().put(table.number, key, None, body, None, doc)  # type: ignore[attr-defined]


def test_databases_tables_and_indexes_are_there_after_a_restart(
    home: Home, catalog: Catalog
) -> None:
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t", primary_key="k", durability="soft", shards=3)
    catalog.create_index(table, "by f", FIELD)
    catalog.set_write_hook(table, FunctionRecord([1, 2, 3], [10, [3]]))

    again = home.reopen(catalog)

    found = again.table(again.database("d"), "t")
    assert (found.id, found.primary_key, found.durability, found.shards) == (
        table.id,
        "k",
        "soft",
        3,
    )
    assert found.indexes["by f"].multi
    assert found.indexes["by f"].definition.function.body == [170, [[10, [1]], "f"]]
    assert found.write_hook.function.params == [1, 2, 3]
    assert again.database("d").id == database.id


def test_names_are_unique(catalog: Catalog) -> None:
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t")
    catalog.create_index(table, "i", FIELD)
    with pytest.raises(OpFailedError, match="Database `d` already exists"):
        catalog.create_database("d")
    with pytest.raises(OpFailedError, match=r"Table `d\.t` already exists"):
        catalog.create_table(database, "t")
    with pytest.raises(OpFailedError, match=r"Index `i` already exists on table `d\.t`"):
        catalog.create_index(table, "i", FIELD)
    with pytest.raises(QueryLogicError, match="`id` is the name of the primary key"):
        catalog.create_index(table, "id", FIELD)


def test_a_dropped_database_takes_its_file_with_it(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t")
    assert f"{database.id}.db" in home.files()

    assert catalog.drop_database(database) == 1
    home.wait(catalog.durable())

    assert home.files() == {"system.db"}
    assert database.dropped
    assert table.dropped
    assert "d" not in home.reopen(catalog).databases


def test_renames_survive_a_restart(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t")
    catalog.create_index(table, "i", FIELD)
    catalog.create_index(table, "j", FIELD)
    catalog.rename_index(table, "i", "j", overwrite=True)
    catalog.rename_table(table, "u")
    catalog.rename_database(database, "e")

    again = home.reopen(catalog)

    assert list(again.databases) == ["e"]
    found = again.database("e").tables["u"]
    assert list(found.indexes) == ["j"]
    assert found.indexes["j"].number == table.indexes["j"].number


def test_dropping_a_table_leaves_the_others(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    gone = catalog.create_table(database, "gone")
    kept = catalog.create_table(database, "kept")
    put(catalog, kept, b"1", {"id": 1})
    catalog.drop_table(gone)

    again = home.reopen(catalog)

    tables = again.database("d").tables
    assert list(tables) == ["kept"]
    assert tables["kept"].group.snapshot().get(tables["kept"].number, b"1") == b'{"id":1}'


def test_an_interrupted_creation_leaves_nothing(home: Home, catalog: Catalog) -> None:
    catalog.group.meta_put("creating/half", b'{"name":"half"}')
    catalog.files.open("half").close()

    again = home.reopen(catalog)

    assert home.files() == {"system.db"}
    assert again.group.meta_items("creating/") == []


def test_an_interrupted_drop_is_finished(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    catalog.group.meta_delete(f"database/{database.id}")
    catalog.group.meta_put(f"dropping/{database.id}", b"")

    again = home.reopen(catalog)

    assert again.databases == {}
    assert home.files() == {"system.db"}


def test_a_file_nobody_knows_is_reported_and_kept(home: Home, catalog: Catalog) -> None:
    catalog.files.open("stray").close()
    again = home.reopen(catalog)
    assert again.unknown_files == ["stray"]
    assert "stray.db" in home.files()


def test_a_missing_file_keeps_the_server_from_starting(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    home.turn()
    catalog.close()
    catalog.files.remove(database.id)
    with pytest.raises(MissingFileError, match="`d`"):
        home.open()


def test_a_table_moves_to_another_database_with_its_rows_and_indexes(
    home: Home, catalog: Catalog
) -> None:
    first = catalog.create_database("first")
    second = catalog.create_database("second")
    table = catalog.create_table(first, "t")
    for at in range(50):
        put(catalog, table, b"%02d" % at, {"id": at, "f": at})
    catalog.create_index(table, "i", FIELD)
    moved = move_table(table, second, "u", catalog.changed)
    home.wait(catalog.durable(second.group))
    assert list(moved.indexes) == ["i"]

    assert first.tables == {}
    assert table.dropped
    assert moved.id == table.id
    again = home.reopen(catalog)
    found = again.database("second").tables["u"]
    snapshot = found.group.snapshot()
    assert snapshot.count(found.number) == 50
    assert snapshot.get(found.number, b"07") == b'{"f":7,"id":7}'
    assert again.database("first").tables == {}


def test_an_interrupted_move_leaves_the_table_in_one_place(home: Home, catalog: Catalog) -> None:
    first = catalog.create_database("first")
    second = catalog.create_database("second")
    table = catalog.create_table(first, "t")
    put(catalog, table, b"1", {"id": 1})
    record = first.group.meta_get(f"table/{table.id}")  # type: ignore[union-attr]
    assert record is not None
    moved = move_table(table, second, "t", catalog.changed)
    home.wait(catalog.durable(second.group))
    # as if the last step had not happened
    number = first.group.create_table()  # type: ignore[union-attr]
    restored = record.replace(b'"number":%d' % table.number, b'"number":%d' % number)
    first.group.meta_put(f"table/{table.id}", restored)  # type: ignore[union-attr]
    marked = second.group.meta_get(f"table/{table.id}")  # type: ignore[union-attr]
    assert marked is not None
    second.group.meta_put(  # type: ignore[union-attr]
        f"table/{table.id}",
        marked.replace(b'"moved_from":null', b'"moved_from":"%s"' % first.id.encode()),
    )

    again = home.reopen(catalog)

    assert again.database("first").tables == {}
    found = again.database("second").tables["t"]
    assert found.id == moved.id
    assert found.group.snapshot().get(found.number, b"1") == b'{"id":1}'


def test_a_copy_without_a_record_is_removed(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    assert database.group is not None
    database.group.create_table()
    again = home.reopen(catalog)
    assert again.database("d").group.tables == []  # type: ignore[union-attr]


def test_the_server_keeps_its_identity(home: Home, catalog: Catalog) -> None:
    id_ = catalog.identity.id
    catalog.identity.rename("other")
    again = home.reopen(catalog)
    assert (again.identity.id, again.identity.name) == (id_, "other")
    assert again.identity.server.tags == ["default"]


def test_listeners_hear_of_every_change(catalog: Catalog) -> None:
    heard: list[str] = []
    stop = catalog.watch(lambda topic, _: heard.append(topic))
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t")
    catalog.create_index(table, "i", FIELD)
    catalog.users.set_password("bob", "secret")
    catalog.permissions.grant(("bob", database.id, None), {"read": True})
    catalog.drop_table(table)
    stop()
    catalog.create_table(database, "unheard")
    assert heard == ["database", "table", "index", "user", "permission", "table"]


def test_opening_many_tables_takes_no_time_per_index(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    for at in range(200):
        catalog.create_table(database, f"t{at}")
    table = database.tables["t7"]
    catalog.create_index(table, "i", FIELD)
    again = home.reopen(catalog)
    assert len(again.database("d").tables) == 200
    rule = again.database("d").tables["t7"].indexes["i"].rule
    assert rule._rule is None
    assert rule.keys({"f": 1}) == [b"1"]
    assert rule._rule is not None
