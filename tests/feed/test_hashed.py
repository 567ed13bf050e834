"""Many items by hashes: the same as a dictionary of lists, whatever is added and removed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.feed import hashed
from rethought.feed.hashed import Hashed
from rethought.feed.view import View, packed, unpacked, view_of_keys


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_a_dictionary_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed, "LOT", 4)
    dice = random.Random(seed)
    table: Hashed[int] = Hashed()
    model: dict[int, list[int]] = {}
    for item in range(500):
        hash_ = dice.choice([dice.randrange(30), dice.randrange(1 << 32)])
        table.add(hash_, item)
        model.setdefault(hash_, []).append(item)
        if dice.random() < 0.45:
            hash_ = dice.choice(list(model))
            table.remove(hash_, gone := dice.choice(model[hash_]))
            model[hash_].remove(gone)
            if not model[hash_]:
                del model[hash_]
        assert bool(table) is bool(model)
    assert {hash_: list(table.of(hash_)) for hash_ in model} == model
    assert table.of(31) == ()
    assert sorted(table) == sorted(item for items in model.values() for item in items)
    for hash_, items in model.items():
        for item in items:
            table.remove(hash_, item)
    assert not table


keys = st.one_of(st.binary(max_size=9), st.binary(min_size=250, max_size=300))


@given(
    st.one_of(
        st.builds(
            View, st.just("x"), st.none() | keys, st.none() | keys, st.booleans(), st.booleans()
        ),
        st.builds(view_of_keys, st.just("x"), st.lists(keys, max_size=12).map(tuple)),
    )
)
def test_a_packed_view_is_the_same_unpacked(view: View) -> None:
    again = unpacked("x", packed(view))
    assert again == view
    assert again.counts == view.counts
