"""Who may do what: the decision as a table of cases, and that grants are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.catalog import Catalog
from rethought.catalog.model import SYSTEM_DATABASE_ID
from rethought.catalog.permissions import decide, merged, parse_permissions
from rethought.errors import OpFailedError, PermissionDeniedError
from tests.catalog.conftest import Home

SETTINGS = {
    ("global", None, None): {"read": True, "write": True, "connect": True},
    ("writer", None, None): {"write": True},
    ("narrow", None, None): {"read": True},
    ("narrow", "d", None): {"read": False},
    ("narrow", "d", "t"): {"read": True},
    ("system", SYSTEM_DATABASE_ID, None): {"read": True},
}


@pytest.mark.parametrize(
    ("user", "permission", "scope", "allowed"),
    [
        ("admin", "config", ("d", "t"), True),
        ("nobody", "read", ("d", "t"), False),
        ("global", "write", ("d", "t"), True),
        ("global", "config", ("d", "t"), False),
        ("global", "connect", (), True),
        ("writer", "write", ("d", "t"), False),
        ("narrow", "read", ("other", "t"), True),
        ("narrow", "read", ("d", "other"), False),
        ("narrow", "read", ("d", "t"), True),
        ("global", "read", (SYSTEM_DATABASE_ID, "s"), False),
        ("system", "read", (SYSTEM_DATABASE_ID, "s"), True),
    ],
)
def test_the_most_specific_setting_decides(
    user: str, permission: str, scope: tuple[str, ...], allowed: bool
) -> None:
    assert decide(SETTINGS, user, permission, *scope) is allowed


@given(
    st.dictionaries(st.sampled_from(["read", "write", "config"]), st.booleans()),
    st.dictionaries(st.sampled_from(["read", "write", "config"]), st.none() | st.booleans()),
)
def test_a_grant_merges_and_null_takes_away(
    old: dict[str, bool], changes: dict[str, bool | None]
) -> None:
    new = merged(old, changes)
    for name in ("read", "write", "config"):
        wanted = changes[name] if name in changes else old.get(name)
        assert new.get(name) == wanted
    assert merged(new, changes) == new


def test_grants_are_kept_and_forgotten_with_their_table(home: Home, catalog: Catalog) -> None:
    database = catalog.create_database("d")
    table = catalog.create_table(database, "t")
    catalog.users.set_password("bob", "")
    old, new = catalog.permissions.grant(("bob", database.id, table.id), {"read": True})
    assert (old, new) == (None, {"read": True})

    again = home.reopen(catalog)
    table = again.database("d").tables["t"]
    again.permissions.require("bob", "read", table)
    with pytest.raises(PermissionDeniedError, match="required `write` permission"):
        again.permissions.require("bob", "write", table)

    again.drop_table(table)
    assert again.permissions.settings == {}


def test_the_permissions_of_admin_are_fixed(catalog: Catalog) -> None:
    with pytest.raises(OpFailedError, match="The permissions of the user `admin`"):
        catalog.permissions.grant(("admin", None, None), {"read": False})


@pytest.mark.parametrize(
    ("value", "everywhere", "message"),
    [
        (3, True, "Expected an object, got 3."),
        ({"foo": True}, True, "Unexpected key(s) `foo`."),
        ({"read": 1}, True, "Expected a boolean or null for `read`, got 1."),
        (
            {"connect": True},
            False,
            "The `connect` permission is only valid at the global scope.",
        ),
    ],
)
def test_what_cannot_be_granted_is_refused(value: object, everywhere: bool, message: str) -> None:
    with pytest.raises(OpFailedError) as caught:
        parse_permissions(value, everywhere=everywhere)
    assert caught.value.message == message


def test_users_are_kept_without_their_password(home: Home, catalog: Catalog) -> None:
    catalog.users.set_password("bob", "secret")
    assert not catalog.users.has_password("admin")
    again = home.reopen(catalog)
    assert again.users.names() == ["admin", "bob"]
    assert again.users.has_password("bob")
    assert again.users.verifier("bob") == catalog.users.verifier("bob")
    with pytest.raises(OpFailedError, match="can't be deleted"):
        again.users.delete("admin")
    again.users.delete("bob")
    assert again.users.verifier("bob") is None
