"""The command line: one module per command, each a function whose signature is its list of options.

What always holds: a mistake of the operator ends with one clear line on standard error and status 1, never with a
stack; nothing heavy is imported before the command is known. `build_app` is the whole list of commands.
"""

import sys

from cyclopts import App, CycloptsError

from rethought.cli import create, doctor, rotate_key, serve, status, version
from rethought.cli import help as help_command
from rethought.errors import ReqlError


def build_app() -> App:
    app = App(
        name="rethought",
        help="Rethought: a realtime JSON document database that speaks the RethinkDB protocol.",
        help_epilogue="To begin: rethought serve",
        version=version.text,
        version_flags=["--version", "-v"],
        help_flags=["--help", "-h"],
        help_format="plaintext",
        print_error=True,
        exit_on_error=False,
    )
    app.command(serve.serve, name="serve", help_epilogue=serve.EXAMPLE)
    app.command(create.create, name="create", help_epilogue=create.EXAMPLE)
    app.command(status.status, name="status", help_epilogue=status.EXAMPLE)
    app.command(doctor.doctor, name="doctor", help_epilogue=doctor.EXAMPLE)
    app.command(rotate_key.rotate_key, name="rotate-key", help_epilogue=rotate_key.EXAMPLE)
    app.command(version.version, name="version", help_epilogue=version.EXAMPLE)
    app.command(help_command.make_help(app), name="help", help_epilogue=help_command.EXAMPLE)
    return app


def main(arguments: list[str] | None = None) -> None:
    try:
        build_app()(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except CycloptsError:  # it has been explained already
        sys.exit(1)
    except Exception as error:
        if not is_for_the_operator(error):
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def is_for_the_operator(error: Exception) -> bool:
    """True for a mistake that can be mended from outside; anything else is a bug and shows its stack."""
    from rethought.cli.driver import DriverError
    from rethought.config import ConfigError
    from rethought.datadir import StartError

    return isinstance(error, ConfigError | StartError | DriverError | ReqlError)
