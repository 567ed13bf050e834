"""Small reads in the order of the original."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rethought.exec.chunk import Chunk
from rethought.exec.settling import SETTLED_MAX, part_of, settled
from tests.datum.strategies import key_data


def documents(ids: list[object]) -> Chunk:
    return Chunk(len(ids), docs=[json.dumps({"id": key, "x": 1}).encode() for key in ids])


def ids_of(chunks: list[Chunk]) -> list[object]:
    return [row["id"] for chunk in chunks for row in chunk.datums()]


def test_rows_come_part_by_part_in_order_of_keys() -> None:
    # the order in which a server of the original deleted rows 0 to 12
    expected = [4, 5, 10, 11, 12, 3, 9, 0, 2, 1, 8, 6, 7]
    found = list(settled(iter([documents(list(range(13)))]), "id", by_key=True))
    assert ids_of(found) == expected


def test_rows_of_an_index_keep_its_order_within_a_part() -> None:
    found = list(settled(iter([documents([7, 12, 6, 5])]), "id", by_key=False))
    assert ids_of(found) == [12, 5, 7, 6]


def test_chunks_are_joined_when_they_are_small() -> None:
    chunks = [documents([7]), documents([4]), documents([5])]
    assert ids_of(list(settled(iter(chunks), "id", by_key=True))) == [4, 5, 7]


def test_decoded_rows_are_settled_too() -> None:
    chunk = Chunk(2, rows=[{"id": 7}, {"id": 4}])
    assert ids_of(list(settled(iter([chunk]), "id", by_key=True))) == [4, 7]


def test_large_reads_stay_as_they_are() -> None:
    ids: list[object] = list(range(SETTLED_MAX + 1))
    first, second = documents(ids[:150]), documents(ids[150:])
    assert ids_of(list(settled(iter([first, second]), "id", by_key=True))) == ids


def test_nothing_is_nothing() -> None:
    assert list(settled(iter([]), "id", by_key=True)) == []


@given(key=key_data)
def test_every_key_is_in_one_of_eight_parts(key: object) -> None:
    assert 0 <= part_of(key) < 8


@given(ids=st.lists(st.integers(-1000, 1000) | st.text("abc", max_size=3), unique=True))
def test_settling_loses_and_adds_nothing(ids: list[object]) -> None:
    found = ids_of(list(settled(iter([documents(ids)] if ids else []), "id", by_key=True)))
    assert sorted(map(repr, found)) == sorted(map(repr, ids))
