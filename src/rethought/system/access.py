"""`users` and `permissions`.

What always holds: a password is never shown, only whether there is one; rows of `admin` cannot be changed except for
its password. Writing a permissions row merges into what is set, as GRANT does.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from rethought.auth.verifier import Verifier
from rethought.catalog.model import SYSTEM_DATABASE_ID
from rethought.catalog.permissions import ADMIN, Scope, parse_permissions
from rethought.catalog.records import FunctionRecord
from rethought.catalog.users import prepare_name
from rethought.datum.text import compact
from rethought.errors import InternalError, OpFailedError
from rethought.reql.rules import check_rules, parse_rules, shown
from rethought.system.accounts import parse_settings, shown_settings
from rethought.system.table import Asking, Row, Write

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

ITERATIONS_MAX: Final = 1_000_000
"""More would hold up every other query while the password is derived."""


UUID_PATTERN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UsersContent:
    """`users`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        return [self._row(name) for name in self._catalog.users.names()]

    def row(self, key: Any, asking: Asking) -> Row | None:
        if key.__class__ is not str or key not in self._catalog.users:
            return None
        return self._row(key)

    def _row(self, name: str) -> Row:
        users = self._catalog.users
        return {
            "id": name,
            "password": users.has_password(name),
            **shown_settings(users.settings(name)),
        }

    def hide(self, row: Any) -> Any:
        """A row that somebody writes, as answers may show it: whether it has a password."""
        if row.__class__ is not dict or row.get("password").__class__ not in (str, dict):
            return row
        password = row["password"]
        given = password.get("password") if password.__class__ is dict else password
        return {**row, "password": given != ""}

    def write(self, env: "Env", asked: Write) -> None:
        catalog = self._catalog
        key, new = asked.key, asked.new
        if asked.own_key or key.__class__ is not str:
            raise OpFailedError(f"Expected a username as the primary key, got {compact(key)}.")
        env.writing(catalog.group)
        if new is None:
            catalog.users.delete(key)
            catalog.permissions.forget_user(key)
        else:
            verifier = self._read(new, asked.old)
            settings = parse_settings(key, new)
            if verifier is not None:
                catalog.users.put(_name(key), verifier)
            catalog.users.set_settings(_name(key), settings)
        env.await_ticket(catalog.durable())

    def _read(self, row: Row, old: Row | None) -> Verifier | None:
        """The new password of a written row; None to keep the one there is."""
        if "password" not in row:
            raise OpFailedError("Expected a field named `password`.")
        _refuse_others(row, ("id", "password", "networks", "limits"))
        password = row["password"]
        if password is False:
            return self._catalog.users.make_verifier("")
        if password is True:
            if old is not None and old["password"]:
                return None
            raise OpFailedError(
                "Expected an object or string to set the password, or `false` to keep it unset, "
                "got true."
            )
        if password.__class__ is str:
            return self._make(password, None)
        if password.__class__ is dict and "$reql_type$" not in password:
            return self._make(*_read_password(password))
        raise OpFailedError(
            f"Expected an object, string or boolean for `password`, got {compact(password)}."
        )

    def _make(self, password: str, iterations: int | None) -> Verifier:
        try:
            return self._catalog.users.make_verifier(password, iterations)
        except ValueError as error:
            raise OpFailedError(f"This password cannot be used: {error}.") from error


def _name(key: str) -> str:
    try:
        return prepare_name(key)
    except ValueError as error:  # the original answers so
        raise InternalError(f"Unexpected exception: {error}") from error


def _read_password(value: Row) -> tuple[str, int]:
    for name in ("password", "iterations"):
        if name not in value:
            raise OpFailedError(f"Expected a field named `{name}`.")
    _refuse_others(value, ("password", "iterations"))
    password, iterations = value["password"], value["iterations"]
    if password.__class__ is not str:
        raise OpFailedError(f"Expected `password` to be a string, got {compact(password)}.")
    if iterations.__class__ is not int or iterations < 1:
        raise OpFailedError(
            f"Expected `iterations` to be an integer greater than zero, got {compact(iterations)}."
        )
    if iterations > ITERATIONS_MAX:
        raise OpFailedError(f"Expected `iterations` to be at most {ITERATIONS_MAX}.")
    return password, iterations


def _refuse_others(row: Row, known: tuple[str, ...]) -> None:
    unexpected = sorted(set(row) - set(known))
    if unexpected:
        keys = ", ".join(f"`{name}`" for name in unexpected)
        raise OpFailedError(f"Unexpected key(s) {keys}.")


class PermissionsContent:
    """`permissions`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        scopes = [*_ADMIN_SCOPES, *self._catalog.permissions.settings]
        rows = (self._row(scope, asking) for scope in scopes)
        return [row for row in rows if row is not None]

    def row(self, key: Any, asking: Asking) -> Row | None:
        if key.__class__ is not list or not 1 <= len(key) <= 3:
            return None
        if any(part.__class__ is not str for part in key):
            return None
        return self._row(tuple([*key, None, None][:3]), asking)

    def _row(self, scope: Scope, asking: Asking) -> Row | None:
        settings = _ADMIN_SCOPES.get(scope) or self._catalog.permissions.settings.get(scope)
        if settings is None:
            return None
        user, database_id, table_id = scope
        row: Row = {
            "id": [part for part in scope if part is not None],
            "user": user,
            "permissions": dict(settings),
        }
        rules = self._catalog.permissions.rules(scope)
        if rules:
            row["rules"] = shown(rules)
        if database_id is not None:
            database = self._catalog.database_by_id(database_id)
            name = "__deleted_database__" if database is None else database.name
            row["database"] = name if asking.by_name else database_id
            if table_id is not None:
                if database is None:
                    return None
                table = _table(database, table_id)
                if table is None:
                    return None
                row["table"] = table.name if asking.by_name else table_id
        return row

    def write(self, env: "Env", asked: Write) -> None:
        catalog = self._catalog
        if asked.own_key:
            raise OpFailedError("You must specify a primary key.")
        scope = self._read_scope(asked.key)
        if scope[0] == ADMIN:
            raise OpFailedError(f"The permissions of the user `{ADMIN}` can't be modified.")
        env.writing(catalog.group)
        if asked.new is None:
            catalog.permissions.clear(scope)
        else:
            changes, rules = self._read(asked.new, scope, asked.asking)
            catalog.permissions.grant(scope, changes, rules)
        env.await_ticket(catalog.durable())

    def _read_scope(self, key: Any) -> Scope:
        if key.__class__ is not list or not 1 <= len(key) <= 3:
            raise OpFailedError(
                f"Expected an array of one to three items in the primary key, got {compact(key)}."
            )
        user = key[0]
        if user.__class__ is not str:
            raise OpFailedError(f"Expected a username, got {compact(user)}.")
        if user not in self._catalog.users:
            raise OpFailedError(f"No user named `{user}`.")
        if len(key) == 1:
            return user, None, None
        _check_uuid(key[1], "database")
        database = self._catalog.database_by_id(key[1])
        if database is None:
            raise OpFailedError(f"No database with UUID `{key[1]}` exists.")
        if len(key) == 2:
            return user, database.id, None
        _check_uuid(key[2], "table")
        if _table(database, key[2]) is None:
            raise OpFailedError(f"No table with UUID `{key[2]}` exists.")
        return user, database.id, key[2]

    def _read(
        self, row: Row, scope: Scope, asking: Asking
    ) -> tuple[dict[str, bool | None], dict[str, FunctionRecord]]:
        names = self._names(scope, asking)
        for name in ("user", "database", "table"):
            if name in row and row[name] != names.get(name):
                raise OpFailedError(f"The key `{name}` does not match the primary key.")
        if "permissions" not in row:
            raise OpFailedError("Expected a field `permissions`.")
        _refuse_others(row, ("id", "permissions", "rules", *names))
        changes = parse_permissions(row["permissions"], everywhere=scope[1] is None)
        rules = parse_rules(row["rules"]) if "rules" in row else {}
        check_rules(rules, on_table=scope[2] is not None and scope[1] != SYSTEM_DATABASE_ID)
        granted = {name: rule for name, rule in rules.items() if changes.get(name)}
        return changes, granted

    def _names(self, scope: Scope, asking: Asking) -> dict[str, str]:
        """What a row of this scope says of itself."""
        user, database_id, table_id = scope
        names = {"user": user}
        if database_id is not None:
            database = self._catalog.database_by_id(database_id)
            assert database is not None
            names["database"] = database.name if asking.by_name else database_id
            if table_id is not None:
                table = _table(database, table_id)
                names["table"] = table.name if asking.by_name else table_id
        return names


_ADMIN_SCOPES: Final[dict[Scope, dict[str, bool]]] = {
    (ADMIN, None, None): {"config": True, "connect": True, "read": True, "write": True},
    (ADMIN, SYSTEM_DATABASE_ID, None): {"config": True, "read": True, "write": True},
}


def _table(database: Any, id_: str) -> Any:
    return next((table for table in database.tables.values() if table.id == id_), None)


def _check_uuid(value: Any, kind: str) -> None:
    if value.__class__ is not str or not UUID_PATTERN.fullmatch(value):
        raise OpFailedError(f"Expected a UUID as the {kind}, got {compact(value)}.")
