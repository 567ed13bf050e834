"""Another encryption key for a data directory: complete, and safe against a crash at every step."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from rethought.errors import ReqlError
from rethought.maintenance import rotation
from rethought.store import GroupOptions, TableId, open_group
from rethought.store.peek import peek

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
DOCUMENT = b'{"id":1,"text":"PLAINTEXT-MARKER"}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two files with the old key; one has a table with a document."""
    loop = asyncio.new_event_loop()
    for name in ("system.db", "a.db"):
        group = open_group(tmp_path / name, loop=loop, options=GroupOptions(key=OLD))
        group.meta_put("name", name.encode())
        table = group.create_table()
        group.write().put(table, b"k", None, DOCUMENT, None, {"id": 1})
        group.close()
    loop.close()
    return tmp_path


def opens_with(directory: Path, key: bytes | None) -> bool:
    """All files do; never one with this key and one with another."""
    answers = set()
    for name in ("system.db", "a.db"):
        try:
            assert peek(directory / name, GroupOptions(key=key)).records["name"] == name.encode()
            answers.add(True)
        except ReqlError:
            answers.add(False)
    assert len(answers) == 1
    return answers.pop()


def rotated(directory: Path, old: bytes | None, new: bytes | None) -> list[rotation.Progress]:
    return list(rotation.rotate(directory, GroupOptions(key=old), new))


def test_all_files_get_the_new_key_and_keep_what_they_hold(directory: Path) -> None:
    steps = rotated(directory, OLD, NEW)
    assert [step.file for step in steps if step.done == 1.0] == ["a.db", "system.db"]
    assert opens_with(directory, NEW)
    assert not opens_with(directory, OLD)
    assert sorted(path.name for path in directory.iterdir()) == ["a.db", "system.db"]
    loop = asyncio.new_event_loop()
    group = open_group(directory / "a.db", loop=loop, options=GroupOptions(key=NEW))
    assert group.snapshot().get(TableId(group.tables[0]), b"k") == DOCUMENT
    group.close()
    loop.close()


def test_a_key_can_be_taken_away_and_given(directory: Path) -> None:
    rotated(directory, OLD, None)
    assert opens_with(directory, None)
    rotated(directory, None, NEW)
    assert opens_with(directory, NEW)


def test_a_wrong_key_changes_nothing(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ReqlError, match="encrypted with another key"):
        rotated(directory, NEW, OLD)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_giving_up_while_copying_leaves_the_old_key(directory: Path) -> None:
    steps = rotation.rotate(directory, GroupOptions(key=OLD), NEW)
    next(steps)
    steps.close()
    assert opens_with(directory, OLD)
    assert rotation.leftovers(directory) == []


class PowerCutError(BaseException):
    """Ends a rotation without any clearing up."""


@pytest.mark.parametrize("moment", range(12))
def test_after_a_crash_all_files_have_one_key(
    directory: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    left = moment
    real_rename, real_unlink = Path.rename, Path.unlink

    def count() -> None:
        nonlocal left
        if not left:
            raise PowerCutError
        left -= 1

    def rename(self: Path, target: Path) -> Path:
        count()
        return real_rename(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name == rotation.MARKER or self.name.endswith(rotation.COMPANIONS):
            count()
        real_unlink(self, missing_ok)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "rename", rename)
        cut.setattr(Path, "unlink", unlink)
        cut.setattr(rotation, "clean", lambda directory: None)
        with contextlib.suppress(PowerCutError):
            rotated(directory, OLD, NEW)
    rotation.finish(directory)
    key = NEW if opens_with(directory, NEW) else OLD
    assert opens_with(directory, key)
    rotated(directory, key, OLD)
    assert opens_with(directory, OLD)
    assert sorted(path.name for path in directory.iterdir()) == ["a.db", "system.db"]
