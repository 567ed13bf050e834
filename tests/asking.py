"""Queries handed to an engine without a connection, for tests in the engine's own process."""

from collections.abc import Callable

from rethought.conversation import Pledge, Reply, Running
from rethought.errors import ReqlError
from rethought.reql.engine import Client, Engine
from rethought.wire.envelope import error_response


def ask(
    engine: Engine, client: Client, body: bytes, done: Callable[[Reply | None], object]
) -> Reply | Running | None:
    """As a session does: an answer that waits for its commit comes through `done`, too."""

    def finished(reply: Reply | None) -> None:
        done(reply)

    answer = engine.start(client, body, finished)
    if not isinstance(answer, Pledge):
        return answer

    def committed(error: ReqlError | None) -> None:
        done(Reply(answer.body if error is None else error_response(error)))

    answer.ticket.add(committed)
    return Pledged()


class Pledged:
    """What cannot be cancelled any more."""

    def cancel(self) -> None:
        pass
