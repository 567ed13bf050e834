"""The longest step of the server while it works on something large: how long everybody else waits for it.

`python -m bench.steps` starts a server, sends it one large query of each kind, and meanwhile single `get`s of another
client, one after the other. A step is what the loop's thread works between two answers to them, in time of its
processor (other programs of the machine do not count). It prints the longest of each kind, the median of several
runs, beside what the whole query took. What always holds: the `get`s go on until the large query is answered.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.client import Connection
from bench.crowd import on_processor_s, prepare
from bench.terms import Term, array, field, row, start, table, term
from tools.serverprocess import running

MANY: Final = 100_000


def numbers(count: int) -> Term:
    return array(*range(count))


def objects(count: int) -> Term:
    return array(*({"n": n * 7919 % count, "text": f"text {n}"} for n in range(count)))


def repeated(sequence: Term, times: int) -> Term:
    """Every row so many times."""
    return term("concat_map", sequence, row(array(*[term("var", 1)] * times)))


def numbered(count: int) -> Term:
    """An array that the server makes."""
    return term("coerce_to", [RANGE, [count]], "array")


LIMIT: Final = 10**6
RANGE, ARGS, OBJECT, SET_UNION, JSON_STRING, JSON = 173, 154, 143, 90, 172, 98
TEXTS: Final = term("coerce_to", term("var", 1), "string")

KINDS: Final[dict[str, Callable[[], bytes]]] = {
    "get": lambda: start(term("get", table(), 1)),
    "insert of 14 MB": lambda: start(
        term("insert", table(), array(*({"n": n, "text": "x" * 100} for n in range(MANY))))
    ),
    "count of an array of 6 MB": lambda: start(term("count", objects(150_000)), array_limit=10**6),
    "map over an array of 6 MB": lambda: start(
        term("map", objects(MANY), row(term("bracket", term("var", 1), "n")))
    ),
    "add of 100,000 numbers": lambda: start(term("add", *range(MANY))),
    "union of 100,000 arrays": lambda: start(term("union", *([array(1)] * MANY))),
    "get_all of 100,000 keys": lambda: start(term("count", term("get_all", table(), *range(MANY)))),
    "order_by of 100,000 rows": lambda: start(
        term("count", term("order_by", repeated(table(), 5), "score"))
    ),
    "order_by, answered": lambda: start(
        term("order_by", repeated(table(), 5), "name", term("desc", "age"))
    ),
    "order_by in a query of 3 MB": lambda: start(term("order_by", objects(50_000), "n")),
    "concat_map of long arrays": lambda: start(
        term("count", term("concat_map", repeated(table(), 50), row(numbers(50)))),
    ),
    "distinct": lambda: start(term("count", term("distinct", repeated(table(), 5)))),
    "group": lambda: start(term("group", repeated(table(), 5), "age")),
    "filter": lambda: start(term("filter", table(), row(term("gt", field("age"), 50)))),
    "a whole table as one array": lambda: start(term("coerce_to", table(), "array")),
    "update of 20,000 rows": lambda: start(
        term("update", table(), row({"age": term("add", field("age"), 1)}), durability="soft")
    ),
    "args of 100,000 numbers": lambda: start(term("add", [ARGS, [numbered(MANY)]])),
    "object of 50,000 pairs by args": lambda: start(
        term("count", [OBJECT, [[ARGS, [term("concat_map", numbered(50_000), row(array(TEXTS, 1)))]]]])
    ),
    "set_union of 200,000 objects": lambda: start(
        term("count", [SET_UNION, [term("map", numbered(MANY), row({"n": term("var", 1)}))] * 2]),
    ),
    "distinct of 300,000 strings": lambda: start(
        term("count", term("distinct", term("map", numbered(300_000), row(TEXTS)))), array_limit=LIMIT
    ),
    "ungroup of 100,000 groups": lambda: start(
        term("count", [150, [term("count", term("group", numbered(MANY), row(term("var", 1))))]])
    ),
    "JSON of 10 MB, and back": lambda: start(
        term("count", [JSON, [[JSON_STRING, [term("map", numbered(MANY), row({"t": "x" * 90}))]]]])
    ),
    "an answer of 25 MB": lambda: start(term("map", numbered(MANY), row({"t": "x" * 250}))),
    "one document of 14 MB": lambda: start(
        term("insert", table(), {"a": array(*({"n": n, "text": "x" * 100} for n in range(MANY)))})
    ),
    "delete of 20,000 rows": lambda: start(
        [54, [table()], {"durability": "soft"}]
    ),
    "nested 900 deep": lambda: b"[1," + b"[2,[" * 900 + b"]]" * 900 + b"]",
}  # fmt: skip


def longest_step(port: int, pid: int, body: bytes) -> tuple[float, float]:
    """Seconds of the longest step, and of the whole query."""
    get = start(term("get", table(), 2))
    with Connection(port) as busy, Connection(port) as other:
        other.ask(get)
        over = threading.Event()

        def work() -> None:
            busy.ask(body)
            over.set()

        began = before = on_processor_s(pid)
        longest = 0.0
        worker = threading.Thread(target=work)
        worker.start()
        while not over.is_set():
            other.ask(get)
            now = on_processor_s(pid)
            longest = max(longest, now - before)
            before = now
        worker.join()
        return longest, before - began


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.steps", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="of each kind (default 3)")
    parser.add_argument("--only", action="append", default=[], choices=list(KINDS))
    given = parser.parse_args(arguments)
    print(f"{'ms':32s}{'longest step':>14s}{'whole query':>14s}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="rethought-steps-") as folder,
        running(Path(folder) / "data") as server,
    ):
        prepare(server.port)
        for name in given.only or KINDS:
            body = KINDS[name]()
            runs = [longest_step(server.port, server.pid, body) for _ in range(given.runs)]
            step, whole = (statistics.median(values) * 1000 for values in zip(*runs, strict=True))
            print(f"{name:32s}{step:14.1f}{whole:14.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
