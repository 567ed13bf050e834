"""`rethought version`: what is running here."""

import platform
from typing import Final

from rethought import VERSION

EXAMPLE: Final = """\
Example:

  rethought version"""


def text() -> str:
    """Two lines, as `rethinkdb --version` prints them: the server, and what it runs on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"rethought {VERSION} ({platform.machine()}-{platform.system().lower()}) ({python})\n"
        f"{platform.system()} {platform.release()}"
    )


def version() -> None:
    """Print the version and leave."""
    print(text())
