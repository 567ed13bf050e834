"""`rethought rotate-key`: encrypt the data directory of a server that does not run with another key."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

from rethought.cli import options as o

EXAMPLE: Final = """\
Example:

  openssl rand -hex 32 > new.key
  rethought rotate-key -d data \\
    --encryption-key-file old.key --new-key-file new.key
  rethought serve -d data --encryption-key-file new.key"""

NewKeyFile = Annotated[
    Path | None, o.option(o.DATA, "File with the new key: 32 bytes or 64 hex digits.")
]
RemoveKey = Annotated[bool | None, o.option(o.DATA, "Leave the data unencrypted from now on.")]


def rotate_key(
    *,
    directory: o.Directory = None,
    encryption_key_file: o.EncryptionKeyFile = None,
    new_key_file: NewKeyFile = None,
    remove_key: RemoveKey = None,
    config_file: o.ConfigFile = None,
) -> None:
    """Encrypt all data with another key. Needs free space for a copy; a crash leaves the one or the other key."""
    settings = o.given({"directory": directory, "encryption_key_file": encryption_key_file})

    from rethought.config import load
    from rethought.datadir import StartError, encryption_key, locked, read_key
    from rethought.maintenance.rotation import rotate
    from rethought.store import GroupOptions

    if (new_key_file is None) != bool(remove_key):
        raise StartError("Give either --new-key-file or --remove-key.")
    config = load(settings, config_file=config_file)
    if not (config.directory / "system.db").exists():
        raise StartError(f"There is no data in '{config.directory}'.")
    key = encryption_key(config.encryption_key_file, os.environ)
    new_key = None if new_key_file is None else read_key(new_key_file)
    os.umask(0o077)
    with locked(config.directory):
        for file, done in rotate(config.directory, GroupOptions(key=key), new_key):
            if done == 1.0 or sys.stdout.isatty():
                print(f"\r{file}: {done:4.0%}", end="\n" if done == 1.0 else "", flush=True)
    print("All files have the new key." if new_key else "No file is encrypted any more.")
