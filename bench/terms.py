"""Queries of the benchmark as JSON terms, and the documents that they are about.

What always holds: a document is a pure function of its number, so that every run of every revision sees the same data;
about 210 bytes each. Callers: `bench.workloads`.
"""

import json
import random
from typing import Any, Final

DATABASE: Final = "rethought_bench"
Term = Any  # the JSON of a term: a list, an object or a literal

_TYPE: Final = {
    "make_array": 2, "var": 10, "db": 14, "table": 15, "get": 16, "eq": 17, "ne": 18, "lt": 19, "gt": 21, "ge": 22,
    "add": 24, "sub": 25, "mul": 26, "mod": 28, "pluck": 33, "without": 34, "merge": 35,
    "reduce": 37, "map": 38, "concat_map": 40,
    "filter": 39, "order_by": 41, "distinct": 42, "count": 43, "union": 44, "eq_join": 50, "zip": 72,
    "update": 53, "delete": 54, "insert": 56,
    "db_create": 57, "db_drop": 58, "db_list": 59, "table_create": 60, "table_drop": 61,
    "epoch_time": 101, "now": 103, "args": 154,
    "branch": 65, "or": 66, "and": 67, "func": 69, "limit": 71, "desc": 74, "index_create": 75, "get_all": 78,
    "contains": 93, "default": 92,
    "index_wait": 140, "upcase": 141, "group": 144, "sum": 145, "avg": 146, "max": 148,
    "changes": 152, "bracket": 170, "wait": 177, "between": 182, "coerce_to": 51, "funcall": 64, "maxval": 181,
}  # fmt: skip


def term(name: str, *arguments: Term, **options: Term) -> Term:
    """One term: `term("get", table, 1)`."""
    return [_TYPE[name], list(arguments), options] if options else [_TYPE[name], list(arguments)]


def array(*items: Term) -> Term:
    return term("make_array", *items)


def table(name: str = "docs") -> Term:
    return term("table", term("db", DATABASE), name)


def row(body: Term, *variables: int) -> Term:
    """A function of one row (variable 1), or of the variables given."""
    return term("func", array(*(variables or (1,))), body)


def field(name: str, variable: int = 1) -> Term:
    return term("bracket", term("var", variable), name)


def start(query: Term, **options: Term) -> bytes:
    """The body of a START query."""
    return json.dumps([1, query, options], separators=(",", ":")).encode()


def document(number: int) -> dict[str, Term]:
    return {
        "id": number,
        "name": f"user-{number:07d}",
        "email": f"user-{number:07d}@mail.example.org",
        "age": number * 7919 % 100,
        "score": (number * 104729 % 100003) / 7.0,
        "city": f"city-{number % 97}",
        "tags": [f"t{number % 11}", f"t{number % 13}"],
        "address": {
            "zip": f"{number * 31 % 99999:05d}",
            "street": f"Long Example Street {number % 1000}",
        },
    }


def literal(number: int) -> Term:
    """The document as a term: drivers send arrays as MAKE_ARRAY."""
    value = document(number)
    value["tags"] = array(*value["tags"])
    return value


class Draw:
    """Random choices that are the same in every run."""

    def __init__(self, documents: int, seed: int = 1) -> None:
        self.documents = documents
        self.random = random.Random(seed)
        self.fresh = 10**9

    def key(self) -> int:
        return self.random.randrange(self.documents)

    def age(self) -> int:
        return self.random.randrange(100)

    def new_key(self) -> int:
        self.fresh += 1
        return self.fresh
