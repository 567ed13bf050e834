"""Chance out of a source of bytes."""

import random
import uuid
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from rethought.exec.chance import AHEAD_BYTES, Chance


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@given(st.integers(0, 2**32))
def test_the_same_bytes_give_the_same_values(seed: int) -> None:
    def drawn() -> list[object]:
        chance = Chance(seeded(seed))
        return [
            chance.random(),
            chance.uuid(),
            chance.randrange(-5, 2**60),
            chance.sample(range(100), 5),
        ]

    assert drawn() == drawn()


@given(st.integers(0, 2**32))
def test_identifiers_are_uuids_of_version_4(seed: int) -> None:
    text = Chance(seeded(seed)).uuid()
    found = uuid.UUID(text)
    assert str(found) == text
    assert (found.version, found.variant) == (4, uuid.RFC_4122)


def test_no_two_identifiers_of_the_system_s_source_are_equal() -> None:
    chance = Chance()
    assert len({chance.uuid() for _ in range(AHEAD_BYTES)}) == AHEAD_BYTES


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_bits_are_as_many_as_were_asked_for(seed: int, count: int) -> None:
    assert 0 <= Chance(seeded(seed)).getrandbits(count) < 2**count


@given(st.binary(min_size=7, max_size=7))
def test_numbers_lie_from_zero_up_to_but_not_one(data: bytes) -> None:
    assert 0 <= Chance(lambda count: data.ljust(count, b"\0")).random() < 1
