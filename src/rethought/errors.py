"""Every error a client can see, one class per error of the wire protocol.

What always holds: a class carries its wire codes; a message is the text on the wire. Anything raised that is
not a `ReqlError` is a bug of ours and leaves as `InternalError`. Every room may import this module.
"""

from collections.abc import Callable
from typing import ClassVar, Final, Self

Frame = int | str
"""A step of a backtrace: a positional argument's index or an optional argument's name."""

CLIENT_ERROR: Final = 16
COMPILE_ERROR: Final = 17
RUNTIME_ERROR: Final = 18


class ReqlError(Exception):
    """An error that is sent to the client.

    `message` is the text on the wire. `at` are backtrace frames relative to the term that raised it (mostly one:
    the argument to blame); `frames` is the whole backtrace once it is known (see `reql.backtrace`).
    """

    response_type: ClassVar[int] = RUNTIME_ERROR
    error_type: ClassVar[int | None] = None
    is_limit: ClassVar[bool] = False  # a limit was reached: who does that often is made to wait
    of_stream = False  # a lazy sequence failed while a term read it: to blame is what made it, not its reader

    def __init__(
        self,
        message: str | Callable[[], str],
        *at: Frame,
        frames: tuple[Frame, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self._message = message
        self.at = at
        self.frames = frames

    def by_stream(self) -> Self:
        """The same error, as one of a lazy sequence."""
        self.of_stream = True
        return self

    @property
    def message(self) -> str:
        """The text. One that is costly to make, of an error that is mostly caught, is given as a function."""
        if not isinstance(self._message, str):
            self._message = self._message()
        return self._message

    def __str__(self) -> str:
        return self.message


class ClientError(ReqlError):
    """A broken frame or envelope."""

    response_type = CLIENT_ERROR


class CompileError(ReqlError):
    """A term tree that is refused before it runs. `frames` is always known."""

    response_type = COMPILE_ERROR


class NestingError(CompileError):
    """A query or a document that is nested too deep to look at."""

    is_limit = True


class InternalError(ReqlError):
    """A bug of ours; the log has the stack."""

    error_type = 1000000


class ResourceLimitError(ReqlError):
    """A limit was reached."""

    error_type = 2000000
    is_limit = True


class QueryLogicError(ReqlError):
    """A wrong type or argument."""

    error_type = 3000000


class NonExistenceError(QueryLogicError):
    """A missing value; `default` catches it."""

    error_type = 3100000


class OpFailedError(ReqlError):
    """The operation did not happen."""

    error_type = 4100000


class OpIndeterminateError(ReqlError):
    """The operation may or may not have happened."""

    error_type = 4200000


class UserError(ReqlError):
    """Raised by `r.error(message)`."""

    error_type = 5000000


class PermissionDeniedError(ReqlError):
    """The user lacks a permission."""

    error_type = 6000000


class RowDeniedError(PermissionDeniedError):
    """A rule does not let the user write this row: an error of that row, other rows go on."""
