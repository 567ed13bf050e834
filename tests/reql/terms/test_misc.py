"""Identifiers, binary, literals. Single answers are cases."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.binary import binary_bytes
from rethought.errors import QueryLogicError
from rethought.reql.compiler import Compiler
from rethought.reql.spec import Determinism
from rethought.reql.terms import SPECS, misc
from rethought.reql.tree import Term, datum
from tests.datum.strategies import strings
from tests.reql.outside import outside

env = outside()


def term(type_: int, *args: Term, path: tuple[int, ...] = (), **optargs: Term) -> Term:
    return Term(type_, list(args), optargs, path, SPECS[type_])


def stray(root: Term) -> list[Term]:
    """The literals of a tree that become errors."""
    before = {id(literal): literal.spec for literal in literals(root)}
    misc.mark_stray_literals(root)
    return [literal for literal in literals(root) if literal.spec is not before[id(literal)]]


def literals(root: Term) -> list[Term]:
    found = [root] if root.type == 137 else []
    for part in (*root.args, *root.optargs.values()):
        found += literals(part)
    return found


# ---- identifiers


def test_random_identifiers_are_of_version_four() -> None:
    assert uuid.UUID(misc.uuid(env)).version == 4


@given(strings)
def test_identifiers_of_a_name_are_of_version_five_and_always_the_same(name: str) -> None:
    assert uuid.UUID(misc.uuid(env, name)).version == 5
    assert misc.uuid(env, name) == misc.uuid(env, name)


@pytest.mark.parametrize(
    ("args", "expected"),
    [((), Determinism.NEVER), ((datum("name", (0,)),), Determinism.ALWAYS)],
)
def test_only_random_identifiers_change(args: tuple[Term, ...], expected: Determinism) -> None:
    compiler = Compiler(SPECS, parametrize=False)
    assert compiler.compile(term(169, *args)).determinism is expected


# ---- binary


@given(strings)
def test_binary_holds_the_bytes_of_a_string(text: str) -> None:
    assert binary_bytes(misc.binary_(env, text)) == text.encode()


@given(strings)
def test_binary_of_binary_is_itself(text: str) -> None:
    once = misc.binary_(env, text)
    assert misc.binary_(env, once) is once


# ---- where literals may stand


def test_a_literal_on_its_own_is_stray() -> None:
    literal = term(137, datum(1, (0,)))
    assert stray(literal) == [literal]


@pytest.mark.parametrize("type_", [35, 39, 53])
def test_a_literal_is_legal_below_objects_that_are_merged_or_matched(type_: int) -> None:
    fields = term(3, a=term(3, b=term(137)))
    assert stray(term(type_, datum({}, (0,)), fields)) == []


@pytest.mark.parametrize("type_", [35, 39, 53])
def test_a_literal_in_what_is_merged_onto_is_stray(type_: int) -> None:
    literal = term(137)
    assert stray(term(type_, term(3, a=literal), term(3))) == [literal]


def test_a_literal_is_legal_in_what_a_function_or_a_branch_gives() -> None:
    body = term(65, datum(True, ()), term(3, a=term(137)), term(3))
    function = term(69, datum([1], ()), body)
    assert stray(term(35, datum({}, (0,)), function)) == []


def test_a_literal_in_an_array_or_in_another_literal_is_stray() -> None:
    in_array, inner = term(137), term(137)
    fields = term(3, a=term(2, in_array), b=term(137, inner))
    assert set(stray(term(35, datum({}, (0,)), fields))) == {in_array, inner}


def test_a_literal_that_other_terms_look_at_is_stray() -> None:
    literal = term(137)
    assert stray(term(35, datum({}, (0,)), term(3, a=term(94, literal)))) == [literal]


def test_a_stray_literal_is_an_error_when_it_is_evaluated() -> None:
    root = term(2, term(137, path=(0,)))
    misc.mark_stray_literals(root)
    compiler = Compiler(SPECS, parametrize=False)
    run = compiler.code(compiler.compile(root).code)
    with pytest.raises(QueryLogicError, match="Stray literal keyword found"):
        run(env, ())


@given(st.integers() | st.none())
def test_a_literal_holds_its_value(value: int | None) -> None:
    assert misc.literal(env, value) == {"$reql_type$": "LITERAL", "value": value}
    assert misc.literal(env) == {"$reql_type$": "LITERAL"}
