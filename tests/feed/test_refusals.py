"""Where the blame is when CHANGES refuses what stands before it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rethinkdb import r

from tests.feed.node import Node

NewTable = Callable[..., Any]
EAGER = "Cannot call `changes` on an eager stream."
RANDOM = "Cannot call `changes` after a non-deterministic function."


@pytest.mark.parametrize(
    ("query", "frames"),
    [
        (lambda t: t.order_by("a"), [0]),
        (lambda t: t.order_by("a").limit(2), [0, 0]),
        (lambda t: t.order_by("a").pluck("a").limit(2), [0, 0, 0]),
        (lambda t: t.order_by(index="id").skip(1), [0, 0]),
        (lambda t: t.skip(1), [0, 0]),
        (lambda t: t.filter({"a": 1})[1:], [0, 0, 0]),
        (lambda t: t.distinct(), [0]),
        (lambda t: t.sample(1), [0]),
        (lambda t: t.group("a"), []),
        (lambda t: t.union([1]), [0, 1]),
        (lambda t: t.union(t, r.expr([1]).map(r.row)), [0, 2, 0]),
        (lambda t: r.expr([1, 2]), [0]),
        (lambda t: r.map(t, t, lambda a, b: a), [0]),
        (lambda t: t.changes(), [0]),
    ],
)
def test_a_stream_that_cannot_be_followed_is_blamed_on_its_maker(
    node: Node, new_table: NewTable, query: Callable[[Any], Any], frames: list[Any]
) -> None:
    answer = json.loads(node.start(query(new_table()).changes()).body)
    assert (answer["r"], answer["b"]) == ([EAGER], frames)


@pytest.mark.parametrize(
    ("query", "frames"),
    [
        (lambda t: t.filter(lambda row: r.random() > 0.5), [0, 1, 1]),
        (lambda t: t.map(lambda row: r.random()).filter(lambda row: r.random() > 1), [0, 0, 1, 1]),
        (lambda t: t.filter({"a": 1}).filter(lambda row: r.random() > 0.5), [0, 1, 1]),
        (lambda t: t.map(lambda row: t.get(row["id"])), [0, 1, 1]),
    ],
)
def test_a_random_function_is_blamed_on_its_body(
    node: Node, new_table: NewTable, query: Callable[[Any], Any], frames: list[Any]
) -> None:
    answer = json.loads(node.start(query(new_table()).changes()).body)
    assert (answer["r"], answer["b"]) == ([RANDOM], frames)


def test_groups_of_a_feed_are_nobodys_fault(node: Node, new_table: NewTable) -> None:
    answer = json.loads(node.start(new_table().changes().group("x")).body)
    assert "on an infinite stream (such as a changefeed)." in answer["r"][0]
    assert answer["b"] == []
