"""Prints terms for people: as JavaScript, and in the plain form INFO shows.

What always holds: printing never fails on a term tree that compiled, and the text's size is bounded by the tree's;
below `DEPTH_MAX` levels a term is printed as `...`. Input is the JSON form of a term as clients send it. Used by index
status, write hooks, jobs and INFO.
"""

import re
from typing import Any, Final

import msgspec

from rethought.reql.term_names import CONSTANTS, JS_NAMES, ROOT_TERMS

DEPTH_MAX: Final = 100

_MAKE_ARRAY: Final = 2
_MAKE_OBJ: Final = 3
_VAR: Final = 10
_IMPLICIT_VAR: Final = 13
_TABLE: Final = 15
_FUNCALL: Final = 64
_FUNC: Final = 69
_BRACKET: Final = 170
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def print_function(params: list[int], body: Any) -> str:
    """`function(var1) { return var1("a"); }`."""
    return _function(params, body, 0)


def print_term(term: Any) -> str:
    """A whole query, as one would type it: `r.db("test").table("t").get(1)`."""
    return _wrapped(term, 0)


def print_index(name: str, params: list[int], body: Any, *, multi: bool, geo: bool) -> str:
    """The `query` of an index's status."""
    options = [f"{option}: true" for option, on in (("multi", multi), ("geo", geo)) if on]
    tail = f", {{{', '.join(options)}}}" if options else ""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"indexCreate('{quoted}', {print_function(params, body)}{tail})"


def print_hook(params: list[int], body: Any) -> str:
    """The `query` of a write hook."""
    return f"setWriteHook({print_function(params, body)})"


def describe_function(params: list[int], body: Any) -> str:
    """INFO's `source_code` of a function."""
    args = ", ".join(map(_variable, params))
    return f"function (captures = [(no implicit)]) (args = [{args}]) {_plain(body, 0)}"


def _variable(number: int) -> str:
    return f"var{number}" if number >= 0 else f"_var{-number}"


def _function(params: list[int], body: Any, depth: int) -> str:
    args = ", ".join(map(_variable, params))
    return f"function({args}) {{ return {_wrapped(body, depth + 1)}; }}"


def _literal(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _parts(term: list[Any]) -> tuple[int, list[Any], dict[str, Any]]:
    args: list[Any] = []
    optargs: dict[str, Any] = {}
    for part in term[1:]:
        if isinstance(part, list):
            args = part
        elif isinstance(part, dict):
            optargs = part
    return int(term[0]), args, optargs


def _is_literal(term: Any) -> bool:
    return not isinstance(term, list) or term[0] in (1, _MAKE_ARRAY, _MAKE_OBJ)


def _wrapped(term: Any, depth: int) -> str:
    """A term where JavaScript needs something of ReQL: literals become `r.expr(..)`."""
    if _is_literal(term):
        return f"r.expr({_natural(term, depth)})"
    return _natural(term, depth)


def _natural(term: Any, depth: int) -> str:
    """A term where a plain JavaScript value does as well."""
    if depth > DEPTH_MAX:
        return "..."
    if isinstance(term, dict):
        return _object(term, depth)
    if not isinstance(term, list):
        return _literal(term)
    if term[0] == 1:
        return _literal(term[1])
    kind, args, optargs = _parts(term)
    if kind == _MAKE_ARRAY:
        return f"[{', '.join(_natural(arg, depth + 1) for arg in args)}]"
    if kind == _MAKE_OBJ:
        return _object(optargs, depth)
    if kind == _VAR:
        return _variable(int(args[0]))
    if kind == _IMPLICIT_VAR:
        return "r.row"
    if kind == _FUNC:
        return _function(_params(args[0]), args[1], depth)
    return _call(kind, args, optargs, depth)


def _call(kind: int, args: list[Any], optargs: dict[str, Any], depth: int) -> str:
    if kind == _FUNCALL and len(args) > 1:
        args = [*args[1:], args[0]]
    name = JS_NAMES.get(kind, f"term{kind}")
    if kind in CONSTANTS:
        return f"r.{name}"
    rooted = kind in ROOT_TERMS or not args or (kind == _TABLE and _is_literal(args[0]))
    rest = args if rooted else args[1:]
    given = [_natural(arg, depth + 1) for arg in rest]
    if optargs:
        given.append(_options(optargs, depth + 1))
    target = "r" if rooted else _wrapped(args[0], depth + 1)
    if kind == _BRACKET and not rooted:
        return f"{target}({', '.join(given)})"
    return f"{target}.{name}({', '.join(given)})"


def _params(term: Any) -> list[int]:
    return [int(number) for number in (term[1] if isinstance(term, list) else [])]


def _object(fields: dict[str, Any], depth: int) -> str:
    inner = (f"{_literal(key)}: {_natural(value, depth + 1)}" for key, value in fields.items())
    return "{" + ", ".join(inner) + "}"


def _options(optargs: dict[str, Any], depth: int) -> str:
    inner = (f"{_option_name(key)}: {_natural(value, depth)}" for key, value in optargs.items())
    return "{" + ", ".join(inner) + "}"


def _option_name(name: str) -> str:
    camel = re.sub(r"(?<=[a-z0-9])_([a-z])", lambda match: match.group(1).upper(), name)
    return camel if _IDENTIFIER.match(camel) else _literal(name)


def _plain(term: Any, depth: int) -> str:
    """Every term as a call on `r`, arguments in order."""
    if depth > DEPTH_MAX:
        return "..."
    if isinstance(term, dict):
        inner = (f"{_literal(key)}: {_plain(value, depth + 1)}" for key, value in term.items())
        return "{" + ", ".join(inner) + "}"
    if not isinstance(term, list):
        return _literal(term)
    if term[0] == 1:
        return _literal(term[1])
    kind, args, optargs = _parts(term)
    if kind == _MAKE_ARRAY:
        return f"[{', '.join(_plain(arg, depth + 1) for arg in args)}]"
    if kind == _MAKE_OBJ:
        return _plain(optargs, depth)
    if kind == _VAR:
        return _variable(int(args[0]))
    if kind == _IMPLICIT_VAR:
        return "r.row"
    if kind == _FUNC:
        names = ", ".join(map(_variable, _params(args[0])))
        return f"function({names}) {{ return {_plain(args[1], depth + 1)}; }}"
    given = [_plain(arg, depth + 1) for arg in args]
    if optargs:
        given.append(_plain(optargs, depth + 1))
    name = JS_NAMES.get(kind, f"term{kind}")
    return f"r.{name}" if kind in CONSTANTS else f"r.{name}({', '.join(given)})"
