"""Cases: queries with their answers, as data.

`cases/<family>/<term>.jsonl` holds one case a line: `name`, `query` (a term as JSON) and either `result` or `error`
with its `type` (a class of `errors`), `message` and `frames`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rethought import errors

DIRECTORY = Path(__file__).parent / "cases"


def files() -> list[Path]:
    return sorted(DIRECTORY.glob("*/*.jsonl"))


def read(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def expected_response(case: dict[str, Any]) -> dict[str, Any]:
    """The whole response a case stands for."""
    if "result" in case:
        return {"t": 1, "r": [case["result"]]}
    wanted = case["error"]
    error: type[errors.ReqlError] = getattr(errors, wanted["type"])
    response = {"t": error.response_type, "r": [wanted["message"]], "b": wanted["frames"]}
    if error.error_type is not None:
        response["e"] = error.error_type
    return response
