"""Syncs the write-ahead log on a thread of its own, one sync for all commits that wait.

What always holds: a ticket finishes without error only after a sync that began after its commit. Used by `commit`, on
the loop; only `Disk.sync_data` runs on the thread, which starts with the first hard write.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from rethought.errors import OpIndeterminateError, ReqlError
from rethought.store.batch import Ticket
from rethought.store.disk import Disk
from rethought.store.model import Loop


class Syncer:
    """One per group. `failed` is told when the disk refused a sync."""

    def __init__(
        self, loop: Loop, disk: Disk, descriptor: int, name: str, failed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._disk = disk
        self._descriptor = descriptor
        self._name = name
        self._failed = failed
        self._waiting: list[Ticket] = []
        self._flying: list[Ticket] = []
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._thread: Thread | None = None

    def wait(self, tickets: list[Ticket]) -> None:
        """Finishes the tickets after a sync. Their commit is in the log already."""
        self._waiting += tickets
        if not self._flying:
            self._start()

    def close(self) -> None:
        """Syncs inline what waits, and ends the thread."""
        if self._thread is not None:
            self._orders.put(False)
            self._thread.join()
            self._thread = None
        late, self._waiting, self._flying = self._flying + self._waiting, [], []
        if late:
            error = self._sync()
            for ticket in late:
                ticket.finish(error)
        self._disk.close(self._descriptor)

    def _start(self) -> None:
        self._flying, self._waiting = self._waiting, []
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"sync {self._name}", daemon=True)
            self._thread.start()
        self._orders.put(True)

    def _work(self) -> None:
        while self._orders.get():
            self._loop.call_soon_threadsafe(self._done, self._sync())

    def _sync(self) -> ReqlError | None:
        try:
            self._disk.reached("sync.before")
            self._disk.sync_data(self._descriptor)
            self._disk.reached("sync.after")
        except OSError as error:
            return OpIndeterminateError(f"The disk did not confirm the write: {error.strerror}.")
        return None

    def _done(self, error: ReqlError | None) -> None:
        flying, self._flying = self._flying, []
        if error is not None:
            self._failed()
        for ticket in flying:
            ticket.finish(error)
        if self._waiting and not self._flying:
            self._start()
