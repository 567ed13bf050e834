"""Cases: queries with their answers, as data.

`cases/<family>/<term>.jsonl` holds one case a line: `name`, `query` (a term as JSON) and either `result` (a datum),
`rows` (of a stream) or `error` with its `type` (a class of `errors`), `message` and `frames`. A file that needs tables
begins with a line `setup`: the queries that make them, in an empty database `test`. Its cases run in their order.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rethought import errors

DIRECTORY = Path(__file__).parent / "cases"


def files() -> list[Path]:
    return sorted(DIRECTORY.glob("*/*.jsonl"))


def files_without_tables() -> list[Path]:
    return [path for path in files() if not setup(path)]


def files_with_tables() -> list[Path]:
    return [path for path in files() if setup(path)]


def setup(path: Path) -> list[Any]:
    """The queries that make the tables of a file's cases."""
    with path.open(encoding="utf-8") as lines:
        first = json.loads(next(lines))
    queries: list[Any] = first.get("setup", [])
    return queries


def read(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if "setup" not in case:
            yield case


def expected_response(case: dict[str, Any]) -> dict[str, Any]:
    """The whole response a case stands for."""
    if "result" in case:
        return {"t": 1, "r": [case["result"]]}
    if "rows" in case:
        return {"t": 2, "r": case["rows"]}
    wanted = case["error"]
    error: type[errors.ReqlError] = getattr(errors, wanted["type"])
    response = {"t": error.response_type, "r": [wanted["message"]], "b": wanted["frames"]}
    if error.error_type is not None:
        response["e"] = error.error_type
    return response
