"""Writes requirements-dev.lock: the exact version of everything the project installs, found from what is installed.

What always holds: only distributions that the project needs (with its extras) are listed, whatever else the
environment holds; names and versions only, never where they came from, so that any index will do.
Callers: `make lock`. The Makefile uses the file as pip's constraints.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: Final = "rethought"
EXTRAS: Final = ("dev", "examples", "js")
HEAD: Final = (
    "# Written by `make lock`; the Makefile installs with these versions as constraints.\n"
)


def needed(name: str, extras: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The requirements of an installed distribution that hold here, with the extras they ask for."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), tuple(requirement.extras)


def closure() -> dict[str, str]:
    """Name → version of everything that the project needs, directly or not."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(PROJECT, EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            if name != PROJECT:
                versions[name] = distribution(name).version
            waiting += needed(name, extras)
        except PackageNotFoundError:
            print(f"not installed here, left out: {name}", file=sys.stderr)
    return versions


def main() -> int:
    target = Path(sys.argv[1])
    pins = [f"{name}=={version}\n" for name, version in sorted(closure().items())]
    target.write_text(HEAD + "".join(pins))
    print(f"{target}: {len(pins)} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
