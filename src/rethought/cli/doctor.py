"""`rethought doctor`: examine the data directory of a server that does not run."""

import os
import sys
from time import monotonic
from typing import Final

from rethought.cli import options as o

EXAMPLE: Final = """\
Example:

  rethought doctor -d data

Exit status: 0 all is well, 1 it could not be examined (in use, wrong key,
another version), 2 something should be mended, 3 something is damaged or
missing."""

TELL_SECONDS: Final = 10.0

STATUS: Final = {"warning": 2, "error": 3}


class Progress:
    """Says how far a file is: always anew in the same line of a terminal, else now and then in a line of its own."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal
        self._told = monotonic()
        self._shown = False

    def tell(self, part: float) -> None:
        now = monotonic()
        if now - self._told < (0.2 if self._terminal else TELL_SECONDS):
            return
        self._told = now
        self._shown = self._terminal
        print(f"{part:5.0%}", end="\r" if self._terminal else "\n", flush=True)

    def end(self) -> None:
        """Something else is about to be printed."""
        if self._shown:
            print("     ", end="\r")
            self._shown = False
        self._told = monotonic()


def doctor(
    *,
    directory: o.Directory = None,
    encryption_key_file: o.EncryptionKeyFile = None,
    config_file: o.ConfigFile = None,
) -> None:
    """Examine a data directory: files, indexes, journal, access rights, space. Changes nothing."""
    settings = o.given(locals())
    settings.pop("config_file", None)

    from rethought.config import load
    from rethought.datadir import StartError, encryption_key, locked
    from rethought.maintenance.doctor import Finding, examine
    from rethought.server import make_index_rule
    from rethought.store import GroupOptions

    config = load(settings, config_file=config_file)
    if not config.directory.is_dir():
        raise StartError(f"There is no directory '{config.directory}'.")
    key = encryption_key(config.encryption_key_file, os.environ)
    status = findings = 0
    progress = Progress(terminal=sys.stdout.isatty())
    with locked(config.directory):
        for each in examine(
            config.directory,
            GroupOptions(key=key),
            make_index_rule,
            key_file=config.encryption_key_file,
            tell=progress.tell,
        ):
            progress.end()
            if isinstance(each, Finding):
                findings += 1
                status = max(status, STATUS[each.severity])
                print(f"  {each.severity}: {each.where}: {each.what}", flush=True)
            else:
                print(f"Checking {each.what}", flush=True)
    progress.end()
    print("All is well." if not findings else f"Findings: {findings}.")
    sys.exit(status)
