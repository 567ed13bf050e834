"""SASLprep: one spelling for what looks the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.auth.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("plain", "plain"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_examples_of_the_standard(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u0627", "\ufffd"])
def test_what_may_not_be_used_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"may not|must begin"):
        saslprep(text)


@given(st.text())
def test_preparing_twice_changes_nothing(text: str) -> None:
    try:
        prepared = saslprep(text)
    except ValueError:
        return
    try:
        assert saslprep(prepared) == prepared
    except ValueError:
        pytest.skip("normalising made a character that may not be used")
