"""Copies of a group in use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rethought.errors import InternalError, ReqlError
from rethought.store import GroupOptions
from rethought.store.check import check_file
from rethought.store.copy import copy_group
from tests.store.support import FieldRule, Opened, all_documents, fill, index_entries, key_of, put
from tests.store.test_group import flip

Open = Callable[..., Opened]


def test_a_copy_is_the_state_when_it_began(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rethought.store.copy.STEP_PAGES", 5)
    home = opened(checkpoint_bytes=1 << 15, log_bytes=1 << 17)
    group = home.group
    table = group.create_table()
    rule = FieldRule("a")
    index = group.create_index(table, rule)
    fill(group, table, 500, pad="x" * 500)
    expected, seq = all_documents(group, table), group.seq
    seen = []
    for done in copy_group(home.path, tmp_path / "copy.db", home.options):
        seen.append(done)
        put(group, table, key_of(len(seen)), {"id": "changed", "a": 1, "pad": "y" * 900})
        home.loop.turn()
    assert len(seen) > 20
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    copied = Opened(tmp_path / "copy.db")
    copied.group.set_rules(table, {index: rule})
    assert copied.group.seq == seq
    assert all_documents(copied.group, table) == expected
    assert len(index_entries(copied.group, table, index)) == 500
    copied.close()
    findings = check_file(tmp_path / "copy.db", GroupOptions(), {index: rule})
    assert list(filter(None, findings)) == []
    fill(group, table, 3, start=900)
    assert group.snapshot().count(table) == 503


def test_a_copy_may_have_another_key(opened: Open, tmp_path: Path) -> None:
    home = opened()
    table = home.group.create_table()
    fill(home.group, table, 50)
    for _ in copy_group(home.path, tmp_path / "copy.db", home.options, key=b"z" * 32):
        pass
    with pytest.raises(ReqlError, match="another key"):
        Opened(tmp_path / "copy.db")
    copied = Opened(tmp_path / "copy.db", key=b"z" * 32)
    assert len(all_documents(copied.group, table)) == 50
    copied.close()


def test_a_copy_of_a_damaged_file_fails_and_leaves_nothing(opened: Open, tmp_path: Path) -> None:
    home = opened()
    fill(home.group, home.group.create_table(), 500, pad="x" * 200)
    home.close()
    flip(home.path, 4096 * 10 + 77)
    with pytest.raises(InternalError, match="damaged"):
        list(copy_group(home.path, tmp_path / "copy.db", home.options))
    assert list(tmp_path.glob("copy*")) == []


def test_a_copy_given_up_leaves_nothing(opened: Open, tmp_path: Path) -> None:
    home = opened()
    fill(home.group, home.group.create_table(), 2_000, pad="x" * 900)
    steps = copy_group(home.path, tmp_path / "copy.db", home.options)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert list(tmp_path.glob("copy*")) == []
    with pytest.raises(FileExistsError):
        next(copy_group(home.path, home.path, home.options))
