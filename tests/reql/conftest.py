"""An engine for the tests of the language."""

from collections.abc import Iterator

import pytest

from tests.reql.evaluation import Evaluator


@pytest.fixture(scope="session")
def reql() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()
