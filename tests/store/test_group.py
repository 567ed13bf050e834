"""Groups: tables, small records, opening, keys, damage."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from rethought.errors import InternalError, OpFailedError, ReqlError
from rethought.store import GroupOptions, TableId
from rethought.store.check import check_file
from tests.store.support import (
    FieldRule,
    ManualLoop,
    Opened,
    all_documents,
    fill,
    index_entries,
    key_of,
    put,
)

Open = Callable[..., Opened]


def test_small_records_are_kept(opened: Open) -> None:
    home = opened()
    group = home.group
    group.meta_put("user/a", b"1")
    group.meta_put("user/b", b"2")
    group.meta_put("usher", b"3")
    assert group.meta_get("user/a") == b"1"
    group.meta_delete("user/a")
    group.meta_put("user/b", b"4")
    group.flush()
    group = home.reopen()
    assert group.meta_get("user/a") is None
    assert group.meta_items("user/") == [("user/b", b"4")]
    assert group.meta_items("") == [("user/b", b"4"), ("usher", b"3")]


def test_numbers_are_never_used_twice(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    index = home.group.create_index(table, FieldRule("a"))
    home.group.drop_table(table)
    home.group.flush()
    group = home.reopen()
    again = group.create_table()
    assert len({int(table), int(index), int(again)}) == 3


def test_tables_are_apart(opened: Open) -> None:
    group = opened().group
    first, second = group.create_table(), group.create_table()
    fill(group, first, 3)
    put(group, second, key_of(0), {"id": "other"})
    group.flush()
    assert len(all_documents(group, first)) == 3
    assert all_documents(group, second) == {key_of(0): {"id": "other"}}
    assert group.tables == [first, second]


def test_a_dropped_table_is_removed_in_steps(opened: Open) -> None:
    home = opened(step_seconds=0.0)
    group = home.group
    table, other = group.create_table(), group.create_table()
    group.create_index(table, FieldRule("a"))
    fill(group, table, 1_000)
    fill(group, other, 5)
    home.loop.settle()
    group.drop_table(table)
    group.flush()
    assert group.tables == [other]
    home.loop.turn()
    home.loop.turn()
    assert len(group._jobs) > 0
    home.loop.settle()
    assert len(group._jobs) == 0
    names = {name for (name,) in group._writer.connection.execute("SELECT name FROM sqlite_schema")}
    assert f"t_{other}" in names
    assert f"t_{table}" not in names
    assert not any(name.startswith("i_") for name in names)
    assert len(all_documents(group, other)) == 5


def test_removing_a_table_goes_on_after_reopening(opened: Open) -> None:
    home = opened(step_seconds=0.0)
    table = home.group.create_table()
    fill(home.group, table, 1_000)
    home.group.drop_table(table)
    home.loop.turn()
    home.loop.turn()
    group = home.reopen()
    assert group.tables == []
    assert len(group._jobs) == 1
    home.loop.settle()
    assert group._writer.tables.dropped == []
    assert list(filter(None, check_file(home.path, home.options))) == []


def test_a_file_opens_only_with_its_key(opened: Open) -> None:
    home = opened(key=b"k" * 32)
    table = home.group.create_table()
    fill(home.group, table, 1)
    home.close()
    loop = ManualLoop()
    from rethought.store import open_group

    for wrong in (None, b"x" * 32):
        with pytest.raises(OpFailedError, match="another key"):
            open_group(home.path, loop=loop, options=GroupOptions(key=wrong))
    assert len(all_documents(home.reopen(), table)) == 1


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    from rethought.store import open_group

    path = tmp_path / "other.db"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(OpFailedError, match=r"`other\.db`"):
        open_group(path, loop=ManualLoop())


def test_a_file_of_a_later_version_is_refused(opened: Open) -> None:
    home = opened()
    home.group._writer.connection.pragma("user_version", 99)
    home.close()
    with pytest.raises(OpFailedError, match="format version 99"):
        home.reopen()
    assert home.path.exists()


def test_a_file_in_a_missing_directory_cannot_be_opened(tmp_path: Path) -> None:
    from rethought.store import open_group

    with pytest.raises(OpFailedError, match="could not be opened"):
        open_group(tmp_path / "none" / "x.db", loop=ManualLoop())


def flip(path: Path, offset: int) -> None:
    """Damages one bit."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 4]))


def test_a_damaged_page_is_reported_and_not_served(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    fill(home.group, table, 2_000, pad="x" * 200)
    expected = all_documents(home.group, table)
    home.close()
    pages = os.path.getsize(home.path) // 4096
    flip(home.path, pages // 2 * 4096 + 1234)
    group = home.reopen()
    wrong, failed = 0, 0
    snapshot = group.snapshot().acquire()
    for key, document in expected.items():
        try:
            found = snapshot.get_many(table, [key])
            wrong += len(found) != 1 or str(document["id"]).encode() not in found[key]
        except InternalError as error:
            failed += "`test.db` is damaged" in error.message
    snapshot.release()
    assert wrong == 0
    assert 0 < failed < 400  # one page of documents, or one of keys
    fill(group, table, 10, start=5_000)
    assert group.snapshot().get(table, key_of(5_003)) is not None
    findings = [finding for finding in check_file(home.path, home.options) if finding]
    assert findings


def test_check_finds_what_does_not_agree(opened: Open) -> None:
    home = opened()
    group = home.group
    table = group.create_table()
    rule = FieldRule("a")
    index = group.create_index(table, rule)
    fill(group, table, 300)
    home.loop.settle()
    rules = {index: rule}

    def findings() -> list[str]:
        return [finding for finding in check_file(home.path, home.options, rules) if finding]

    assert findings() == []
    execute = group._writer.connection.execute
    execute(f"DELETE FROM i_{index} WHERE ik=?", (b"%06d" % 919,))
    assert findings() == [f"index {index} of table {table}: 1 entries are missing"]
    execute(f"INSERT INTO i_{index} VALUES(?, ?, 0, 99999)", (b"zz", b"zz"))
    assert len(findings()) == 3
    unruled = [finding for finding in check_file(home.path, home.options) if finding]
    for found in (findings(), unruled):
        assert f"index {index} of table {table}: 1 entries lead to no document" in found
    execute(f"UPDATE t_{table} SET d=? WHERE r=7", (b"{broken",))
    assert any("row 7 is not JSON" in finding for finding in findings())
    assert any("its counters say 300" in finding for finding in findings())
    execute("DELETE FROM journal WHERE seq=2")
    execute("UPDATE journal SET entries=x'c1' WHERE seq=1")
    assert any("journal" in finding for finding in findings())


def test_check_reports_a_file_that_cannot_be_read(tmp_path: Path, opened: Open) -> None:
    home = opened(key=b"k" * 32)
    home.close()
    (finding,) = filter(None, check_file(home.path, GroupOptions()))
    assert "another key" in finding


def test_a_write_to_a_dropped_table_is_refused(opened: Open) -> None:
    group = opened().group
    with pytest.raises(ReqlError, match="dropped"):
        group.write().get(TableId(9), b"x")


def test_an_index_without_its_rule_refuses_writes(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    index = home.group.create_index(table, FieldRule("a"))
    fill(home.group, table, 5)
    group = home.reopen()
    with pytest.raises(InternalError, match="rule"):
        fill(group, table, 1, start=9)
    group.flush()
    assert group.indexes(table) == [index]
    group.set_rules(table, {index: FieldRule("a")})
    fill(group, table, 1, start=9)
    assert len(index_entries(group, table, index)) == 6


def test_the_group_is_its_own_only_user(opened: Open) -> None:
    home = opened()
    fill(home.group, home.group.create_table(), 1)
    other = apsw.Connection(str(home.path), vfs="unix", flags=apsw.SQLITE_OPEN_READONLY)
    with pytest.raises(apsw.Error):
        other.execute("SELECT * FROM sqlite_schema").fetchall()
    other.close()
