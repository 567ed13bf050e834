"""The field of a document, as every term that reads one sees it.

What always holds: refusals are the protocol's, with the name of the term that looked; no sequence is looked into.
Callers: `reql.terms.fields`, and `reql.runtime` where a string stands for the function that reads the field.
"""

from typing import Any, Final

from rethought.datum.text import pretty, truncated
from rethought.datum.values import type_name
from rethought.errors import Frame, NonExistenceError, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.values import is_datum, printed, wrong_datum

MISSING: Final = object()
"""Not even null."""


def object_of(value: Any, name: str, *at: Frame) -> dict[str, Any]:
    """The value as an object to look into; refuses everything else in the protocol's words."""
    if value.__class__ is dict:
        if "$reql_type$" not in value:
            result: dict[str, Any] = value
            return result
        kind = type_name(value)
        if kind == "PTYPE<BINARY>":
            raise QueryLogicError(
                f"Cannot perform {name} on a non-object non-sequence `{truncated(value)}`.", *at
            )
        raise QueryLogicError(f"Cannot call `{name}` on objects of type `{kind}`.", *at)
    if value.__class__ is list:
        refuse_row(name)
    error = NonExistenceError if value is None else QueryLogicError
    shown = truncated(value) if is_datum(value) else printed(value)
    raise error(f"Cannot perform {name} on a non-object non-sequence `{shown}`.", *at)


def refuse_row(name: str) -> Any:
    """For a row that is a sequence itself."""
    raise QueryLogicError(f"Cannot perform {name} on a sequence of sequences.")


def get_field_row(env: Env, value: Any, field: Any, name: str = "get_field") -> Any:
    """OBJECT, STRING -> datum. Raises NonExistenceError when there is no such field."""
    document = object_of(value, name, 0)
    if field.__class__ is not str:
        raise wrong_datum("STRING", field, 1)
    found = document.get(field, MISSING)
    if found is MISSING:
        shown = field.partition("\0")[0]
        raise NonExistenceError(lambda: f"No attribute `{shown}` in object:\n{pretty(document)}")
    return found
