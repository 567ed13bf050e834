"""Gives the files of a data directory another encryption key.

Invariants:
  1. After a crash at any moment the directory opens with the old key or with the new one, all files alike: copies are
     made beside the files and checked; then one file, `rotation`, says that they count; then they take their places.
  2. Taking their places needs no key, so whoever finds `rotation` finishes it: the next start, or the next rotation.
  3. Nothing of a file is lost: a copy is complete and every page of it was read before it counts.
Called by `cli.rotate_key` and, for `finish`, by `server.py`; the caller holds the directory's lock.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rethought.errors import OpFailedError
from rethought.store import GroupOptions, check_file, copy_group
from rethought.store.peek import peek

MARKER: Final = "rotation"
COPY: Final = ".rekeyed"
COMPANIONS: Final = ("-wal", "-shm", "-journal")
SYSTEM_FILE: Final = "system.db"


class Progress(NamedTuple):
    """`done` is a part of the file, 0 to 1."""

    file: str
    done: float


def rotate(directory: Path, options: GroupOptions, new_key: bytes | None) -> Iterator[Progress]:
    """Encrypts every file with `new_key` (None: no key but the published one). Raises `ReqlError`."""
    finish(directory)
    clean(directory)
    files = sorted(directory.glob("*.db"))
    peek(directory / SYSTEM_FILE, options)  # a wrong key is said before anything is copied
    key = new_key or b""
    try:
        for path in files:
            yield from rekeyed(path, options, key)
    except BaseException:
        clean(directory)
        raise
    commit(directory, [path.name for path in files])
    finish(directory)


def rekeyed(path: Path, options: GroupOptions, key: bytes) -> Iterator[Progress]:
    """Makes the copy of one file and reads all of it."""
    copy = path.with_name(path.name + COPY)
    for done in copy_group(path, copy, options, key=key):
        yield Progress(path.name, done / 2)
    checked = GroupOptions(key=key or None, vfs=options.vfs)
    for finding in check_file(copy, checked):
        if finding is not None:
            raise OpFailedError(
                f"The copy of `{path.name}` is not right, so nothing was changed: {finding}"
            )
    yield Progress(path.name, 1.0)


def commit(directory: Path, names: list[str]) -> None:
    """From here on the copies count."""
    announced = directory / f"{MARKER}.partial"
    with announced.open("w") as file:
        file.write("".join(f"{name}\n" for name in names))
        file.flush()
        os.fsync(file.fileno())
    announced.rename(directory / MARKER)
    sync(directory)


def finish(directory: Path) -> bool:
    """Puts copies that count into their places; False when there was nothing to do."""
    marker = directory / MARKER
    try:
        names = marker.read_text().splitlines()
    except FileNotFoundError:
        return False
    for name in names:
        path = directory / name
        copy = path.with_name(name + COPY)
        if copy.exists():
            for companion in COMPANIONS:  # the old file's; the copy has none
                path.with_name(name + companion).unlink(missing_ok=True)
            sync(directory)
            copy.rename(path)
    sync(directory)
    marker.unlink()
    sync(directory)
    return True


def leftovers(directory: Path) -> list[Path]:
    """Copies of a rotation that was given up."""
    if (directory / MARKER).exists():
        return []
    return sorted([*directory.glob(f"*{COPY}*"), *directory.glob(f"{MARKER}.partial")])


def clean(directory: Path) -> None:
    for path in leftovers(directory):
        with contextlib.suppress(OSError):
            path.unlink()


def sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
