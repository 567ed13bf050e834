"""The slow search for damage: every page in use is looked at, beside whoever uses the group."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rethought.errors import InternalError
from rethought.store import scrub
from rethought.store.connection import connect
from rethought.store.scrub import STEP_BYTES, next_rows
from tests.store.support import FieldRule, Opened, fill, key_of, put
from tests.store.test_group import flip

Open = Callable[..., Opened]


def filled(home: Opened) -> None:
    group = home.group
    table = group.create_table()
    group.create_index(table, FieldRule("a"))
    fill(group, table, 300, pad="x" * 100)
    put(group, table, key_of(9_000), {"id": 9_000, "a": 1, "pad": "y" * 40_000})
    group.flush()
    home.loop.settle()


def findings(path: Path, home: Opened) -> set[str]:
    return {step.place for step in scrub(path, home.options) if step.finding is not None}


def pages_in_use(path: Path, home: Opened) -> dict[int, str]:
    connection = connect(path, None, vfs=home.options.vfs, cache_bytes=1 << 20)
    rows = connection.execute("SELECT pageno, name FROM dbstat").fetchall()
    connection.close()
    return {int(str(number)): str(name) for number, name in rows}


def test_a_whole_file_has_no_findings_and_is_read_completely(opened: Open) -> None:
    home = opened()
    filled(home)
    steps = list(scrub(home.path, home.options))
    assert all(step.finding is None for step in steps)
    assert {step.place for step in steps} == {"catalog", "journal", "table 1", "index 2"}
    assert sum(step.read_bytes for step in steps) > 2 * home.group.usage().documents_bytes
    assert max(step.read_bytes for step in steps) < STEP_BYTES * 2


def test_damage_in_any_page_in_use_is_found(opened: Open, tmp_path: Path) -> None:
    home = opened()
    filled(home)
    home.close()
    used = pages_in_use(home.path, home)
    assert {"t_1", "sqlite_autoindex_t_1_1", "i_2", "journal", "meta"} <= set(used.values())
    places = {"t_1": "table 1", "sqlite_autoindex_t_1_1": "table 1", "i_2": "index 2"}
    for page, name in used.items():
        copy = tmp_path / f"page{page}.db"
        shutil.copy(home.path, copy)
        flip(copy, (page - 1) * 4096 + 2_000)
        found = findings(copy, home)
        assert found, f"page {page} of {name}"
        if name in places:
            assert found == {places[name]}
        copy.unlink()


def test_writes_go_on_between_the_pieces(opened: Open) -> None:
    home = opened()
    filled(home)
    group = home.group
    (table,) = group.tables
    for number, step in enumerate(scrub(home.path, home.options), 20_000):
        assert step.finding is None
        put(group, table, key_of(number), {"id": number, "a": number})
        group.flush()
    group.drop_table(table)
    for step in scrub(home.path, home.options):
        assert step.finding is None
        home.loop.turn()  # the table goes away piece by piece


def test_what_a_query_comes_upon_is_noted_once_with_its_table(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    home = opened()
    filled(home)
    home.close()
    page = next(page for page, name in pages_in_use(home.path, home).items() if name == "i_2")
    flip(home.path, (page - 1) * 4096 + 2_000)
    group = home.reopen()
    (table,) = group.tables
    (index,) = group.indexes(table)
    assert group.damage.places == {}
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(InternalError):
                group.snapshot().index_scan(table, index, limit=1_000)
    assert list(group.damage.places) == ["table 1"]
    assert [record.getMessage() for record in caplog.records] == [
        "Damage in test.db (table 1): The database file `test.db` is damaged; run `rethought "
        "doctor` on its directory and restore it from a backup."
    ]


def test_an_index_that_differs_from_its_table_is_noticed_by_samples(opened: Open) -> None:
    home = opened()
    filled(home)
    group = home.group
    (table,) = group.tables
    (index,) = group.indexes(table)
    for part in (0.0, 0.5, 1.0):
        group.sample_index(table, index, part, 20)
    assert group.damage.places == {}
    execute = group._writer.connection.execute
    execute("DELETE FROM i_2 WHERE k=?", (key_of(250),))
    group.sample_index(table, index, 0.1, 20)
    assert group.damage.places == {}
    group.sample_index(table, index, 0.82, 20)
    assert "lacks an entry" in group.damage.places["index 2"]
    group.damage.clear()
    execute("INSERT INTO i_2 SELECT ik, k, tag + 7, r + 1 FROM i_2 WHERE k=?", (key_of(10),))
    group.sample_index(table, index, 11.5 / 301, 20)  # from that document on
    assert "lead to no document" in group.damage.places["index 2"]


def test_a_damaged_index_can_be_dropped_and_made_again(opened: Open) -> None:
    home = opened(step_seconds=1e-6)  # the build takes many steps
    filled(home)
    home.close()
    page = next(page for page, name in pages_in_use(home.path, home).items() if name == "i_2")
    flip(home.path, (page - 1) * 4096 + 2_000)
    group = home.reopen()
    (table,) = group.tables
    (index,) = group.indexes(table)
    group.set_rules(table, {index: FieldRule("a")})
    group.drop_index(index)
    made = group.create_index(table, FieldRule("a"))
    for _ in range(20):  # what cannot be removed must not keep other work from its end
        home.loop.settle()
        home.loop.pass_time(2.0)
    assert group.index_ready(made)
    assert findings(home.path, home) == set()


def test_pieces_are_small_whatever_the_size_of_rows() -> None:
    assert next_rows(500, 1_000) == 500
    assert next_rows(8, 8 << 20) == 1
    assert next_rows(100, 100 * 1_024) == 128
    assert next_rows(8, 0) == 500
