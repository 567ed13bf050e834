"""House rules that a program can hold, as ordinary tests: each prints where the rule is broken.

The list `ALLOWED` is the map of the rooms: a room imports what its row names, and nothing else. A new room gets a row.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TOP: Final = Path(__file__).parent.parent
SOURCE: Final = TOP / "src" / "rethought"
LINES_MAX: Final = 600

BASE: Final = frozenset({"errors", "limits", "VERSION"})
"""What everybody may import."""

# The order of a query is wire → reql → exec → feed → store → datum; imports follow it and never go back up.
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "errors": frozenset(),
    "limits": frozenset(),
    "stack": frozenset(),
    "hashchain": frozenset(),
    "garbage": frozenset(),
    "datum": frozenset(),
    "auth": frozenset({"datum"}),
    "store": frozenset({"datum"}),
    "catalog": frozenset({"store", "datum", "auth"}),
    "feed": frozenset({"store", "datum"}),
    "exec": frozenset({"feed", "catalog", "store", "datum", "conversation"}),
    "reql": frozenset({"catalog", "exec", "feed", "store", "datum", "auth", "conversation"}),
    "system": frozenset(
        {"reql", "catalog", "exec", "feed", "store", "datum", "auth", "log", "hashchain"}
    ),
    "conversation": frozenset({"auth", "datum"}),
    "wire": frozenset({"conversation", "auth", "datum"}),
    "web": frozenset({"wire", "conversation", "auth", "datum", "config", "log"}),
    "backup": frozenset({"catalog", "exec", "feed", "store", "datum", "auth"}),
    "cluster": frozenset({"catalog", "exec", "feed", "store", "datum"}),
    "config": frozenset({"store", "datum"}),
    "datadir": frozenset(),
    "cachesize": frozenset({"config", "catalog", "store"}),
    "maintenance": frozenset({"catalog", "store", "hashchain"}),
    "log": frozenset({"config"}),
    "cli": frozenset(
        {
            "server",
            "config",
            "datadir",
            "maintenance",
            "log",
            "catalog",
            "backup",
            "store",
            "wire",
            "datum",
            "auth",
        }
    ),
    "__main__": frozenset({"cli"}),
}
FREE: Final = frozenset({"server", "__init__"})
"""`server.py` builds the rooms, so it knows them all."""

MARKERS: Final = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
# Paths of one machine, hosts of package registries, and words about how the work is done rather than about the work.
FOREIGN: Final = re.compile(
    r"/wor[k]/|/roo[t]/|/hom[e]/\w+/|/tm[p]/[a-z]+/[a-z]|pypi\.or[g]|pythonhoste[d]|registry\.npmj[s]"
    r"|\bLL[M]\b|\bsub-?agen[t]|shared/(?:design|styl[e]|referenc[e])",
    re.IGNORECASE,
)
TEXTS: Final = frozenset(
    {
        ".py",
        ".md",
        ".toml",
        ".json",
        ".jsonl",
        ".yaml",
        ".yml",
        ".lock",
        ".js",
        ".mjs",
        ".sh",
        ".txt",
        "",
    }
)


def project_files() -> list[Path]:
    """Every file of the project, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [TOP / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix in TEXTS]


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of each import from this package."""
    package = ("rethought", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "rethought" and len(parts) > 1:
                yield node.lineno, parts[1]


def shown(found: list[str]) -> str:
    return "\n".join(["", *found])


def test_imports_go_one_way() -> None:
    wrong = []
    for path in modules():
        room = room_of(path)
        if room in FREE:
            continue
        assert room in ALLOWED, f"{path.relative_to(TOP)}: a new room needs a row in ALLOWED"
        for line, other in imported_rooms(path):
            if other not in ALLOWED[room] | BASE | {room}:
                wrong.append(f"{path.relative_to(TOP)}:{line}: {room} may not import {other}")
    assert not wrong, shown(wrong)


def test_every_module_says_what_it_is_for() -> None:
    folders = [SOURCE, TOP / "tools", TOP / "bench", TOP / "examples"]
    silent = [
        str(path.relative_to(TOP))
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if "node_modules" not in path.parts
        and path.stat().st_size
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, shown(silent)


def test_no_file_outgrew_its_room() -> None:
    folders = [SOURCE, TOP / "tools", TOP / "bench", TOP / "examples"]
    lengths = {
        path.relative_to(TOP): path.read_text().count("\n")
        for folder in folders
        for path in folder.rglob("*.py")
    }
    grown = [f"{path}: {count} lines" for path, count in lengths.items() if count > LINES_MAX]
    assert not grown, shown(grown)


def test_no_marker_was_left_behind() -> None:
    left = [
        f"{path.relative_to(TOP)}:{number}: {line.strip()[:100]}"
        for path in project_files()
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if MARKERS.search(line)
    ]
    assert not left, shown(left)


def test_nothing_names_a_machine_a_registry_or_a_way_of_working() -> None:
    named = []
    for path in project_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        named += [
            f"{path.relative_to(TOP)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if FOREIGN.search(line)
        ]
    assert not named, shown(named)


def test_wire_errors_are_defined_in_one_place() -> None:
    elsewhere = [
        f"{path.relative_to(TOP)}:{node.lineno}: {node.name}"
        for path in modules()
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "ReqlError" for base in node.bases)
    ]
    assert not elsewhere, shown(elsewhere)
