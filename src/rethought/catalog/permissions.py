"""Who may do what.

What always holds: a permission is true, false or not set, for everything, for a database or for a table; the most
specific setting counts, nothing set means no. `admin` may do everything. The system database does not inherit the
global settings. On a table, reading and writing may be for some rows only, those for which a rule (a ReQL function)
holds. Deciding is a pure function of the settings; `Permissions` keeps them and stores them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.model import SYSTEM_DATABASE_ID, Database
from rethought.catalog.records import (
    PERMISSION,
    FunctionRecord,
    PermissionRecord,
    decode,
    encode,
)
from rethought.catalog.storing import commit
from rethought.datum.text import compact
from rethought.errors import OpFailedError, PermissionDeniedError

if TYPE_CHECKING:
    from rethought.store import Group

ADMIN: Final = "admin"
NAMES: Final = ("config", "connect", "read", "write")

Scope = tuple[str, str | None, str | None]
"""User name, database id, table id."""

Settings = Mapping[Scope, Mapping[str, bool]]

Rules = Mapping[str, FunctionRecord]
"""The rules of one user for one table, by permission (`read`, `write`)."""

RULED: Final = ("read", "write")
"""The permissions that can be for some rows only."""


def decide(
    settings: Settings,
    user: str,
    permission: str,
    database: str | None = None,
    table: str | None = None,
) -> bool:
    """Whether `user` has `permission` there: globally, on a database, or on a table. Writing needs reading too."""
    if user == ADMIN:
        return True
    if permission == "write" and not _decide(settings, user, "read", database, table):
        return False
    return _decide(settings, user, permission, database, table)


def _decide(
    settings: Settings, user: str, permission: str, database: str | None, table: str | None
) -> bool:
    if table is not None:
        found = settings.get((user, database, table))
        if found is not None and permission in found:
            return found[permission]
    if database is not None:
        found = settings.get((user, database, None))
        if found is not None and permission in found:
            return found[permission]
        if database == SYSTEM_DATABASE_ID:
            return False
    found = settings.get((user, None, None))
    return found is not None and found.get(permission, False)


def scope_of(target: Any) -> tuple[str | None, str | None]:
    """The ids of a database or a table, as `decide` takes them."""
    if target is None:
        return None, None
    if isinstance(target, Database):
        return target.id, None
    return target.db.id, target.id


def denied(user: str, permission: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"User `{user}` does not have the required `{permission}` permission."
    )


def merged(old: Mapping[str, bool], changes: Mapping[str, bool | None]) -> dict[str, bool]:
    """The settings of a scope after a grant: null takes a setting away."""
    result = dict(old)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def parse_permissions(value: Any, *, everywhere: bool) -> dict[str, bool | None]:
    """Checks what is to be granted, globally (`everywhere`) or on a database or table."""
    if value.__class__ is not dict or "$reql_type$" in value:
        raise OpFailedError(f"Expected an object, got {compact(value)}.")
    unexpected = [name for name in value if name not in NAMES]
    if unexpected:
        keys = ", ".join(f"`{name}`" for name in sorted(unexpected))
        raise OpFailedError(f"Unexpected key(s) {keys}.")
    if "connect" in value and not everywhere:
        raise OpFailedError("The `connect` permission is only valid at the global scope.")
    for name in ("read", "write", "config", "connect"):
        setting = value.get(name)
        if setting is not None and setting.__class__ is not bool:
            raise OpFailedError(f"Expected a boolean or null for `{name}`, got {compact(setting)}.")
    return dict(value)


_SIGHT: Final = ("read", "config")
"""`write` is nothing without `read`."""


class Permissions:
    """Every setting, in memory and in the system group. `version` grows with every change."""

    def __init__(self, group: "Group", changed: Callable[[str, object], None]) -> None:
        self._group = group
        self._changed = changed
        self.settings: dict[Scope, dict[str, bool]] = {}
        self._rules: dict[str, dict[str, Rules]] = {}
        self.version = 0
        for name, value in group.meta_items(PERMISSION):
            user, database, table = decode(name.removeprefix(PERMISSION), type=Scope)
            record = decode(value, type=PermissionRecord)
            self.settings[user, database, table] = record.settings
            if table is not None and record.rules:
                self.rules_of(user)[table] = record.rules

    def rules_of(self, user: str) -> dict[str, Rules]:
        """The rules of a user by table id; the same dictionary for as long as the server runs."""
        return self._rules.setdefault(user, {})

    def rules(self, scope: Scope) -> Rules:
        user, _, table = scope
        return {} if table is None else self.rules_of(user).get(table, {})

    def allowed(self, user: str, permission: str, target: object = None) -> bool:
        """Whether `user` may; `target` is a Database, a table, or None for everything."""
        return user == ADMIN or decide(self.settings, user, permission, *scope_of(target))

    def require(self, user: str, permission: str, target: object = None) -> None:
        """Raises PermissionDeniedError."""
        if not self.allowed(user, permission, target):
            raise denied(user, permission)

    def may_see(self, user: str, target: Any) -> bool:
        """Whether a user has any business with a table, or with anything in a database: may learn of its tables and
        indexes, and how they are."""
        if any(self.allowed(user, permission, target) for permission in _SIGHT):
            return True
        return isinstance(target, Database) and any(
            scope[:2] == (user, target.id) and any(map(settings.get, _SIGHT))
            for scope, settings in self.settings.items()
        )

    def grant(
        self, scope: Scope, changes: Mapping[str, bool | None], rules: Rules | None = None
    ) -> tuple[dict[str, bool] | None, dict[str, bool] | None]:
        """Merges `changes` into a scope's settings: (old, new), None for no settings at all. `rules` are for
        permissions that are granted here; a permission that is set without one loses its rule."""
        if scope[0] == ADMIN:
            raise OpFailedError(f"The permissions of the user `{ADMIN}` can't be modified.")
        old = self.settings.get(scope)
        new = merged(old or {}, changes)
        before = self.rules(scope)
        after = {name: rule for name, rule in before.items() if name not in changes}
        after.update(rules or {})
        if new != (old or {}) or after != before:
            self._put(scope, new, after)
            self._changed("permission", scope)
        return old, new or None

    def clear(self, scope: Scope) -> None:
        """Takes away every setting of a scope."""
        if scope in self.settings:
            self._put(scope, {}, {})
            self._changed("permission", scope)

    def forget_user(self, user: str) -> None:
        self._forget(scope for scope in self.settings if scope[0] == user)

    def forget_table(self, table: str) -> None:
        self._forget(scope for scope in self.settings if scope[2] == table)

    def forget_database(self, database: str) -> None:
        self._forget(scope for scope in self.settings if scope[1] == database)

    def _forget(self, scopes: Iterator[Scope]) -> None:
        for scope in list(scopes):
            self.clear(scope)

    def _put(self, scope: Scope, settings: dict[str, bool], rules: Rules) -> None:
        name = PERMISSION + encode(scope).decode()
        if settings:
            self._group.meta_put(name, encode(PermissionRecord(settings, dict(rules))))
            commit(self._group)
            self.settings[scope] = settings
        else:
            self._group.meta_delete(name)
            commit(self._group)
            self.settings.pop(scope, None)
        user, _, table = scope
        if table is not None and rules:
            self.rules_of(user)[table] = rules
        elif table is not None:
            self.rules_of(user).pop(table, None)
        self.version += 1
