"""SASLprep (RFC 4013): one spelling for user names and passwords that look the same.

What always holds: `saslprep(saslprep(x)) == saslprep(x)`. Raises `ValueError` for text that may not be used at all.
Callers: `auth.verifier`, `wire.scram`, and `catalog` for user names.
"""

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Map, normalise (NFKC) and check `text`. Unassigned code points pass, as for a query in RFC 3454."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if any(prohibited(char) for prohibited in _PROHIBITED):
            raise ValueError(f"the character U+{ord(char):04X} may not be used")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """Right-to-left text must be so from its first to its last character, and hold no left-to-right letters."""
    if not any(stringprep.in_table_d1(char) for char in text):
        return
    if any(stringprep.in_table_d2(char) for char in text):
        raise ValueError("text may not mix directions")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise ValueError("right-to-left text must begin and end so")
