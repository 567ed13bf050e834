"""A file system below SQLite that fails on purpose: loses what was not synced, tears what was half written, fills up.

`FaultyDisk` is both halves of it: the VFS under the cipher (an APSW VFS on top of the real one) and the store's `Disk`
(its syncs beside SQLite). It notes for every file what is certain to be there after power loss and what is not yet;
`lose_power` makes one of the many directories a power loss could leave, chosen by a seed.
"""

import os
import random
import threading
from pathlib import Path
from typing import Any

import apsw

from rethought.store import Disk

SECTOR = 512
BASE = "unix-excl"

Write = tuple[int, bytes | None]
"""(offset, data), or (length, None) for a truncation."""


class FileState:
    """What power loss would leave of one file."""

    def __init__(self, certain: bytes = b"") -> None:
        self.certain = bytearray(certain)
        self.pending: list[Write] = []
        self.named = False  # its name in the directory is certain

    def copy(self) -> "FileState":
        made = FileState(bytes(self.certain))
        made.pending = list(self.pending)
        made.named = self.named
        return made

    def sync(self) -> None:
        for write in self.pending:
            apply(self.certain, write)
        self.pending.clear()


def apply(content: bytearray, write: Write) -> None:
    offset, data = write
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class FaultyDisk(Disk):
    """See the module. `name` is the VFS's; unregister with `close_vfs`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, FileState] = {}
        self.lock = threading.RLock()
        self.writes = 0
        self.photograph_at = -1
        self.photograph: dict[str, FileState] | None = None
        self.taken: Any = None  # what the test wants to remember of the moment
        self.note: Any = lambda: None
        self.space: int | None = None  # bytes that may still be written
        self.broken_reads = False
        self._descriptors: dict[int, str] = {}
        self._vfs = FaultyVfs(self)

    def close_vfs(self) -> None:
        self._vfs.unregister()

    # ---- the store's disk

    def open_log(self, path: Path) -> int:
        descriptor = super().open_log(path)
        self._descriptors[descriptor] = str(path)
        return descriptor

    def sync_data(self, descriptor: int) -> None:
        with self.lock:
            self.files[self._descriptors[descriptor]].sync()

    def sync_directory(self, path: Path) -> None:
        with self.lock:
            for name, state in self.files.items():
                if Path(name).parent == path and os.path.exists(name):
                    state.named = True

    # ---- the VFS

    def wrote(self, name: str, write: Write) -> None:
        with self.lock:
            self.files[name].pending.append(write)
            self.writes += 1
            if self.writes == self.photograph_at:
                self.photograph = {name: state.copy() for name, state in self.files.items()}
                self.taken = self.note()

    def take(self, size: int) -> None:
        with self.lock:
            if self.space is not None:
                if size > self.space:
                    raise apsw.FullError("no space left on the simulated device")
                self.space -= size


def lose_power(files: dict[str, FileState], directory: Path, seed: int) -> None:
    """Writes a directory as power loss could leave it: unsynced writes are there, or not, or in part."""
    dice = random.Random(seed)
    mood = dice.choice(["all", "none", "prefix", "any", "any"])
    directory.mkdir()
    for name, state in files.items():
        if not state.named and dice.random() < 0.5:
            continue
        content = bytearray(state.certain)
        writes = state.pending
        if mood == "none":
            writes = []
        elif mood == "prefix":
            writes = writes[: dice.randint(0, len(writes))]
        elif mood == "any":
            writes = [write for write in writes if dice.random() < 0.7]
        for at, (offset, data) in enumerate(writes):
            torn = data is not None and (at == len(writes) - 1 or dice.random() < 0.05)
            if torn and data is not None:
                data = data[: dice.randint(0, len(data) // SECTOR) * SECTOR]
            apply(content, (offset, data))
        (directory / Path(name).name).write_bytes(content)


class FaultyVfs(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        super().__init__(disk.name, BASE)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "FaultyFile":
        return FaultyFile(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        with self.disk.lock:
            self.disk.files.pop(filename, None)


class FaultyFile(apsw.VFSFile):
    def __init__(
        self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None
        self.path = path
        with disk.lock:
            if path not in disk.files:
                content = Path(path).read_bytes() if os.path.exists(path) else b""
                disk.files[path] = FileState(content)
                disk.files[path].named = bool(content)
        super().__init__(BASE, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.take(len(data))
        super().xWrite(data, offset)
        self.disk.wrote(self.path, (offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self.disk.wrote(self.path, (newsize, None))

    def xSync(self, flags: int) -> None:
        # Not passed on: nothing here depends on the real disk, and SQLite syncs the directory of a new file with it.
        with self.disk.lock:
            state = self.disk.files.get(self.path)
            if state is not None:
                state.sync()
                state.named = True
