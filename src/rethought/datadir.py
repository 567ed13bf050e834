"""A data directory from outside: making it, locking it, the key of its files, and the file with the process id.

What always holds: whoever works in a directory holds its lock, so a server, `doctor` and `rotate-key` never meet; a
mistake is a `StartError` whose text is for the operator. Callers: `server.py`, `maintenance` and `cli`.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
KEY_VARIABLE: Final = "RETHOUGHT_ENCRYPTION_KEY"
"""Holds the key itself; `RETHOUGHT_ENCRYPTION_KEY_FILE` names a file with it."""


class StartError(Exception):
    """Why the server does not start; the text is for the operator."""


def make_directory(directory: Path) -> bool:
    """True when it was not there before."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        if not directory.is_dir():
            raise StartError(f"The path '{directory}' is not a directory.") from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise StartError(f"The directory '{directory}' cannot be written to.") from None
        return False
    except OSError as error:
        raise StartError(
            f"Could not create the directory '{directory}': {error.strerror}."
        ) from error
    return True


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """The lock is on the directory itself, so no file tells of it and a killed server leaves none behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"Directory '{directory}' is already in use, perhaps another instance of rethought "
                "is using it."
            ) from error
        yield
    finally:
        os.close(descriptor)


def encryption_key(path: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The key of the data: of a file, else of the environment; None where neither names one."""
    if path is not None:
        return read_key(path)
    text = environment.get(KEY_VARIABLE)
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(text.strip())
        if len(key) == KEY_BYTES:
            return key
    raise StartError(f"The encryption key in {KEY_VARIABLE} should be 64 hexadecimal digits.")


def read_key(path: Path) -> bytes:
    """An encryption key: 32 bytes, or 64 hexadecimal digits."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StartError(f"Could not read the encryption key: {error}") from error
    if len(content) == KEY_BYTES:
        return content
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(content.decode("ascii").strip())
        if len(key) == KEY_BYTES:
            return key
    raise StartError(
        f"The encryption key in '{path}' should be 32 bytes, or 64 hexadecimal digits.  "
        f"Make one with: openssl rand -hex 32 > {path}"
    )


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        with path.open("x") as file:
            file.write(f"{os.getpid()}\n")
    except FileExistsError:
        raise StartError(
            "The pid-file specified already exists. This might mean that an instance is already "
            "running."
        ) from None
    except OSError as error:
        raise StartError(f"Could not write the pid-file '{path}': {error.strerror}.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
