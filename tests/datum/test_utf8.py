import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.utf8 import utf8_problem


@pytest.mark.parametrize(
    ("data", "reason", "position"),
    [
        (b"ab\xff", "Invalid initial byte seen", 2),
        (b"\x80", "Invalid initial byte seen", 0),
        (b"a\xc3", "Expected continuation byte, saw end of string", 1),
        (b"\xe2\x82a", "Expected continuation byte, saw something else", 0),
        (b"\xc0\x80", "Overlong encoding seen", 0),
        (b"\xed\xa0\x80", "Non-Unicode character encoded (beyond U+10FFFF or a surrogate)", 0),
    ],
)
def test_what_is_wrong_with_bytes(data, reason, position):
    assert utf8_problem(data) == (reason, position)


@given(st.text())
def test_strings_are_right(text):
    assert utf8_problem(text.encode()) is None


@given(st.binary())
def test_any_bytes_have_a_verdict(data):
    problem = utf8_problem(data)
    assert problem is None or 0 <= problem[1] < len(data)
