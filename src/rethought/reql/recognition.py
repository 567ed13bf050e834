"""Recognises queries of a plan by their bytes, and takes their parameters out.

What always holds: a query is recognised only if it differs from the plan's in the values of its parameters and, the
same everywhere, in the numbers of its variables: drivers number variables anew for each query. Two variables with
different numbers stay different. Generated once per plan, called for each query of its shape.
"""

import re
from typing import Any, Final

from rethought.errors import ReqlError
from rethought.reql import literals
from rethought.reql.compiled import Match
from rethought.reql.compiler import Compiler

Place = tuple[int, int]

_NUMBER: Final = re.compile(rb"[0-9]+")


def matcher(body: bytes, compiler: Compiler) -> Match:
    """The recogniser of the plan that `compiler` made of `body`."""
    params = {
        term.span
        for term in compiler.params
        if term.span is not None and id(term) not in compiler.pinned
    }
    variables, fixed = _variables(body, compiler)
    names: dict[str, Any] = {
        "number": literals.number_slice,
        "text": literals.text_slice,
        "truth": literals.truth_slice,
        "null": literals.null_slice,
        "other": literals.any_slice,
    }
    holes = sorted([*params, *(place for places in variables for place in places)])
    tests = [*_constants(body, holes, names), *_links(variables, fixed)]
    values = []
    for index, term in enumerate(compiler.params):
        if term.span is not None and term.span in params:
            start, end = term.span
            decoder = _decoder_of(body[start:end], term.value)
            values.append(f"{decoder}(b[{start}:{end}]), ")
        else:
            names[f"fixed{index}"] = term.value
            values.append(f"fixed{index}, ")
    recognise: Match = eval(
        f"lambda b: ({''.join(values)}) if {' and '.join(tests) or 'True'} else None", names
    )
    if not params:
        return recognise

    def match(body: bytes) -> tuple[Any, ...] | None:
        try:
            return recognise(body)
        except (literals.NotLiteralError, ValueError, RecursionError, ReqlError):
            return None

    return match


def _constants(body: bytes, holes: list[Place], names: dict[str, Any]) -> list[str]:
    """Tests that everything between the holes is the same."""
    tests = []
    position = 0
    for start, end in [*holes, (len(body), len(body))]:
        if start > position:
            name = f"c{position}"
            names[name] = body[position:start]
            tests.append(f"b[{position}:{start}] == {name}")
        position = end
    return tests


def _variables(body: bytes, compiler: Compiler) -> tuple[list[list[Place]], list[bytes]]:
    """The places of each variable's number, and the numbers that may not vary."""
    places: dict[int, set[Place]] = {}
    fixed: set[int] = set()
    for term in compiler.names:
        if term.span is None:
            continue
        start, end = term.span
        found = [
            (start + match.start(), start + match.end())
            for match in _NUMBER.finditer(body[start:end])
        ]
        numbers = term.value if isinstance(term.value, list) else [term.value]
        if isinstance(term.value, list):
            found = found[1:]  # the array is a term, and has a number of its own
        if id(term) in compiler.pinned or [int(body[a:b]) for a, b in found] != numbers:
            fixed.update(numbers)
            continue
        for number, place in zip(numbers, found, strict=True):
            places.setdefault(number, set()).add(place)
    vary = [sorted(places[number]) for number in places if number not in fixed]
    return vary, [str(number).encode() for number in fixed]


def _links(variables: list[list[Place]], fixed: list[bytes]) -> list[str]:
    """Tests that each variable has one number everywhere, and no two have the same."""
    tests = []
    for index, (first, *others) in enumerate(variables):
        start, end = first
        tests.append(f"(n{index} := b[{start}:{end}]).isdigit()")
        if end - start > 1:
            tests.append(f"n{index}[0] != 48")
        tests.extend(f"b[{start}:{end}] == n{index}" for start, end in others)
    if len(variables) + len(fixed) > 1 and variables:
        numbers = ", ".join([*(f"n{index}" for index in range(len(variables))), *map(repr, fixed)])
        tests.append(f"len({{{numbers}}}) == {len(variables) + len(fixed)}")
    return tests


def _decoder_of(part: bytes, value: Any) -> str:
    """What decodes a parameter. It is of one kind in all queries of a plan (`nodes.known_of`): generated code relies on
    that."""
    if part[0] == 0x22:
        return "other" if b"\\" in part else "text"
    if value is None:
        return "null"
    if value.__class__ is bool:
        return "truth"
    return "number" if value.__class__ is int or value.__class__ is float else "other"
