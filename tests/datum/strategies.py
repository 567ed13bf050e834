"""Hypothesis strategies for data: every kind of value, canonical as the database holds them."""

from hypothesis import strategies as st

from rethought.datum.binary import binary
from rethought.datum.kinds import MAXVAL, MINVAL, Datum, number
from rethought.datum.time import make_time

numbers = st.one_of(
    st.integers(-(2**53), 2**53),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 0.1, 1e20, 1e21, -1e300, 5e-324, 2.0**53 + 2]),
).map(number)
strings = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2az"), max_size=8
)
zones = st.sampled_from(["+00:00", "+05:45", "-07:00"])
times = st.builds(make_time, st.integers(-5, 5) | st.floats(-1.7e10, 2.5e11), zones)
binaries = (st.binary(max_size=80) | st.binary(max_size=2)).map(binary)
geometries = st.builds(
    lambda x, y: {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [x, y]},
    st.integers(-180, 180),
    st.integers(-90, 90),
)
scalars = st.none() | st.booleans() | numbers | strings | times | binaries


def nested(leaves: st.SearchStrategy[Datum]) -> st.SearchStrategy[Datum]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
        max_leaves=12,
    )


data = nested(scalars | geometries)
"""Anything a document may hold."""

bounded_data = nested(scalars | geometries | st.sampled_from([MINVAL, MAXVAL]))
"""The same with r.minval and r.maxval anywhere."""

key_scalars = st.booleans() | numbers | strings | times | binaries
key_data = st.recursive(key_scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
"""Anything a key may hold."""

bounds = st.recursive(
    key_scalars | st.sampled_from([MINVAL, MAXVAL]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
"""Anything a bound of a range may hold."""
