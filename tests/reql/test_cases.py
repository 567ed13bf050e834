"""Every case of `cases/`, answered in-process and by a server."""

from pathlib import Path
from types import ModuleType

import pytest

from rethought.reql.spec import TermSpec
from rethought.reql.terms import FAMILIES
from tests.reql import cases
from tests.reql.database import Database
from tests.reql.evaluation import Evaluator
from tests.wire.client import Client
from tools.serverprocess import ServerProcess

AT_ONCE = 20

DEFAULT = 92
WITHOUT_CASES = {
    "javascript": "its engine need not be installed; tests/reql/remote and tests/js have it",
}
"""Terms without a case file, and why."""


def file_of(family: ModuleType, spec: TermSpec) -> Path:
    """Where the cases of a term are. `default` bears the name of `error`."""
    name = "default" if spec.type == DEFAULT else spec.name.lower()
    return cases.DIRECTORY / family.__name__.rpartition(".")[2] / f"{name}.jsonl"


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", cases.files_without_tables(), ids=name_of)
def test_term_answers_as_its_cases_say(path: Path, database: Database, reql: Evaluator) -> None:
    for case in cases.read(path):
        expected = text(cases.expected_response(case))
        assert text(database.response(case["query"])) == expected, case["name"]
        if path.parent.name in ("arrays", "math", "misc", "objects", "times"):
            # these must not need tables, nor the loop
            assert text(reql.response(case["query"])) == expected, case["name"]


@pytest.mark.parametrize("path", cases.files_with_tables(), ids=name_of)
def test_term_over_tables_answers_as_its_cases_say(path: Path, database: Database) -> None:
    for query in cases.setup(path):
        database.value(query)
    try:
        for case in cases.read(path):
            response = database.response(case["query"])
            assert text(response) == text(cases.expected_response(case)), case["name"]
    finally:
        for table in database.value([62, []]):
            database.value([61, [table]])


def text(response: dict[str, object]) -> str:
    """A response as text, which tells -0.0 from 0 and true from 1, as Python's comparison does not."""
    return repr(sorted((key, value) for key, value in response.items() if key != "n"))


def test_names_of_cases_are_unique_within_a_file() -> None:
    for path in cases.files():
        names = [case["name"] for case in cases.read(path)]
        assert len(names) == len(set(names)), path


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_term_has_a_case_that_succeeds_and_one_that_fails(family: ModuleType) -> None:
    for spec in family.TERMS:
        path = file_of(family, spec)
        assert path.exists() is (spec.name not in WITHOUT_CASES), path
        if path.exists():
            assert {"error" in case for case in cases.read(path)} == {True, False}, path


def test_a_server_answers_as_the_cases_say(shared_server: ServerProcess) -> None:
    expected = [case for path in cases.files_without_tables() for case in cases.read(path)]
    with Client(shared_server.port) as client:
        # Not all at once: a stream that waits for thousands of others ends its first batch early.
        for first in range(0, len(expected), AT_ONCE):
            window = dict(enumerate(expected[first : first + AT_ONCE], first))
            for token, case in window.items():
                client.query(token, [1, case["query"], {}])
            answers = dict(client.response() for _ in window)
            for token, case in window.items():
                assert text(answers[token]) == text(cases.expected_response(case)), case
