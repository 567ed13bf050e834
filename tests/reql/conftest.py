"""Engines for the tests of the language: one without tables, one with."""

from collections.abc import Iterator

import pytest

from tests.reql.database import Database
from tests.reql.evaluation import Evaluator


@pytest.fixture(scope="session")
def reql() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(tmp_path_factory.mktemp("reql"))
    yield opened
    opened.close()
