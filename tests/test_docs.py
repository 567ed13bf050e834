"""The documents are held to the code: what they name exists, and what they show runs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import fields

from rethought.cli import build_app
from rethought.cli.serve import WITHOUT_EFFECT
from rethought.config import Config, load
from rethought.limits import Limits
from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess, running
from tools.terms import page

TOP = Path(__file__).parent.parent
DOCUMENTS = [
    *TOP.glob("*.md"),
    *(TOP / "docs").glob("*.md"),
    *(TOP / "examples").glob("*/README.md"),
]
PATH = re.compile(
    r"`((?:docs|tests|src|examples|tools|bench|\.ci)/[\w./-]*|[\w-]+\.(?:md|toml|lock))`"
)
PAGES = [
    *DOCUMENTS,
    *(TOP / "docs" / "decisions").glob("*.md"),
    *(TOP / "changes").glob("*.md"),
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"`([^`\n]+)`|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
MODULE = re.compile(r"python -m ((?:examples|bench|tools)[.\w]*)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


OTHERS = {f"--{name.replace('_', '-')}" for name in WITHOUT_EFFECT}
"""Options that are accepted, but not in any help."""


def blocks(document: str, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall((TOP / document).read_text()) if kind == language]


def shown_output(code: str) -> str:
    """The comment lines at the end of a block, or after a call: what the reader is promised to see."""
    trailing = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    behind = re.findall(r"console\.log\(.*\); // (.*)", code)
    return "".join(f"{line}\n" for line in [*trailing, *behind])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    missing = [
        name
        for name in PATH.findall(text)
        if not (TOP / name).exists() and not (document.parent / name).exists()
    ]
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    spoken = set(MAKE.findall("".join(re.findall(r"`[^`\n]+`|^```.*?^```", text, re.M | re.S))))
    assert not missing
    assert spoken <= targets


def anchors(page: Path) -> set[str]:
    """The names that the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for target, anchor in LINK.findall(document.read_text()):
        if "://" in target:
            continue
        page_ = document.parent / target if target else document
        if not page_.exists() or (anchor and anchor not in anchors(page_)):
            dead.append(f"{target}#{anchor}")
    assert not dead


def spoken_code(*documents: Path) -> str:
    """What stands in code, in lines and in blocks."""
    found = CODE.findall("\n".join(document.read_text() for document in documents))
    return "\n".join(line or block for line, block in found)


def options_of(*module: str) -> set[str]:
    """The options in a program's help."""
    command = [sys.executable, "-m", *module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOP, check=True)
    return set(FLAG.findall(done.stdout))


COMMANDS = [name for name in build_app() if not name.startswith("-")]
PROGRAMS = sorted(
    set(MODULE.findall(spoken_code(*PAGES)))
    | {"bench", "bench.growth", "examples.board", "tools.conformance"}
)


def test_commands_in_the_documents_exist() -> None:
    spoken = set(re.findall(r"^rethought ([a-z][\w-]*)", spoken_code(*PAGES), re.MULTILINE))
    assert spoken <= set(COMMANDS)
    assert {"serve", "status", "doctor"} <= spoken
    assert {name.replace(".", "/") for name in PROGRAMS} <= {
        str(path.relative_to(TOP).with_suffix("")).removesuffix("/__main__")
        for folder in ("bench", "examples", "tools")
        for path in (TOP / folder).rglob("*.py")
    }


@pytest.mark.slow
def test_options_in_the_documents_exist_and_those_of_tools_are_documented() -> None:
    ours = {name: options_of("rethought", name) for name in COMMANDS}
    known = set().union(*ours.values(), *(options_of(name) for name in PROGRAMS), OTHERS)
    assert set(FLAG.findall(spoken_code(*PAGES))) <= known
    for name in ("status", "doctor", "rotate-key"):
        documented = set(FLAG.findall(spoken_code(TOP / "docs" / "operations.md")))
        assert ours[name] - {"--help", "-h"} <= documented, name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("docs") / "data") as process:
        yield process


PYTHON = [
    pytest.param(code, id=f"{document}-{number}")
    for document in ("README.md", "docs/compatibility.md")
    for number, code in enumerate(blocks(document, "python"))
]


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_of_the_documents_prints_what_it_says(code: str, server: ServerProcess) -> None:
    assert "28015" in code
    done = subprocess.run(
        [sys.executable, "-c", code.replace("28015", str(server.port))],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.stdout == shown_output(code), done.stderr
    assert not done.stderr


def test_the_javascript_of_the_readme_prints_what_it_says(server: ServerProcess) -> None:
    node, packages = shutil.which("node"), TOP / "tests" / "js" / "node_modules"
    if node is None or not (packages / "rethinkdb").exists():
        pytest.skip("node or the npm package rethinkdb is not installed")
    (code,) = blocks("README.md", "js")
    done = subprocess.run(
        [node, "-e", code.replace("28015", str(server.port))],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
        env={**os.environ, "NODE_PATH": str(packages), "NO_COLOR": "1"},
    )
    assert done.stdout == shown_output(code), done.stderr
    assert not done.stderr


def test_every_setting_is_documented() -> None:
    text = (TOP / "docs" / "operations.md").read_text()
    options = {f"--{field.encode_name}" for field in fields(Config) if field.name != "limits"}
    assert {option for option in options if f"`{option}`" not in text} == set()
    named = set(re.findall(r"^\| .*", text, re.MULTILINE))
    spoken = {option for line in named for option in re.findall(r"`(--[\w-]+)`", line)}
    assert spoken <= options | {"--limit"}


def test_every_limit_is_documented_with_its_default() -> None:
    text = (TOP / "docs" / "limits.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| ", text, re.MULTILINE)
    defaults = {field.name: field.default for field in fields(Limits)}
    assert {name: float(default) for name, default in rows} == defaults


def test_the_configuration_file_of_the_documents_can_be_read(tmp_path: Path) -> None:
    (code,) = re.findall(
        r"^```toml\n(.*?)^```", (TOP / "docs/operations.md").read_text(), re.M | re.S
    )
    (tmp_path / "server.toml").write_text(code)
    config = load({}, {}, tmp_path / "server.toml")
    assert config.driver_port == 28016
    assert config.limits.array_limit == 200_000


def test_the_page_of_terms_is_what_the_table_says() -> None:
    assert (TOP / "docs" / "terms.md").read_text() == page(), "run `make docs`"
