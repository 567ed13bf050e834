"""`rethought help [command]`: the same as `rethought [command] --help`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cyclopts import App

EXAMPLE: Final = """\
Example:

  rethought help serve"""


def make_help(app: "App") -> Callable[..., None]:
    """The command; it needs the application whose commands it explains."""

    def help_(command: str | None = None, /) -> None:
        """Explain a command, or list them all.

        Parameters
        ----------
        command
            The command to explain.
        """
        app.help_print([] if command is None else [command])

    return help_
