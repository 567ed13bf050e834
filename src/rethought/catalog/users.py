"""The users and their passwords.

What always holds: there is a user `admin`; a name is its SASLprep form; what is kept of a password is a SCRAM verifier.
Changing users takes effect for the next login; who is logged in stays so, but loses permissions with the user.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rethought.auth.saslprep import saslprep
from rethought.auth.verifier import DEFAULT_ITERATIONS, Verifier, decoy_verifier, make_verifier
from rethought.catalog.permissions import ADMIN
from rethought.catalog.records import DECOYS, USER, USER_SETTINGS, UserSettings, decode, encode
from rethought.catalog.storing import commit
from rethought.errors import OpFailedError

if TYPE_CHECKING:
    from rethought.store import Group

NO_SETTINGS: Final = UserSettings()
SECRET_BYTES: Final = 32

RandomBytes = Callable[[int], bytes]


class Users:
    """Every user, in memory and in the system group."""

    def __init__(
        self, group: "Group", changed: Callable[[str, object], None], random_bytes: RandomBytes
    ) -> None:
        self._group = group
        self._changed = changed
        self._random_bytes = random_bytes
        self._secret = group.meta_get(DECOYS) or random_bytes(SECRET_BYTES)
        self._users: dict[str, Verifier] = {
            name.removeprefix(USER): decode(value, type=Verifier)
            for name, value in group.meta_items(USER)
        }
        self._settings: dict[str, UserSettings] = {
            name.removeprefix(USER_SETTINGS): decode(value, type=UserSettings)
            for name, value in group.meta_items(USER_SETTINGS)
        }

    def create_admin(self) -> None:
        """A new data directory gets its first user, without a password."""
        if self._group.meta_get(DECOYS) is None:
            self._group.meta_put(DECOYS, self._secret)
        if ADMIN not in self._users:
            self.set_password(ADMIN, "")

    def verifier(self, name: str) -> Verifier | None:
        return self._users.get(name)

    def decoy(self, name: str) -> Verifier:
        """What to lead somebody on with who wants to be a user that does not exist. It stays the same over restarts, as
        that of a user does, and looks like one of a user with a password: who has none can be told by logging in."""
        counts = {each.iterations for each in self._users.values() if not each.empty}
        return decoy_verifier(self._secret, name, counts | {DEFAULT_ITERATIONS})

    def names(self) -> list[str]:
        return sorted(self._users)

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def has_password(self, name: str) -> bool:
        return not self._users[name].empty

    def make_verifier(self, password: str, iterations: int | None = None) -> Verifier:
        """What to keep of a password. Takes milliseconds; with many iterations, call it on another thread."""
        return make_verifier(password, iterations, random_bytes=self._random_bytes)

    def set_password(self, name: str, password: str) -> None:
        self.put(name, self.make_verifier(password))

    def put(self, name: str, verifier: Verifier) -> None:
        """Creates a user or changes its password."""
        self._group.meta_put(USER + name, encode(verifier))
        commit(self._group)
        self._users[name] = verifier
        self._changed("user", name)

    def settings(self, name: str) -> UserSettings:
        """Networks and limits."""
        return self._settings.get(name, NO_SETTINGS)

    def set_settings(self, name: str, settings: UserSettings) -> None:
        if settings == self.settings(name):
            return
        if settings == NO_SETTINGS:
            self._group.meta_delete(USER_SETTINGS + name)
        else:
            self._group.meta_put(USER_SETTINGS + name, encode(settings))
        commit(self._group)
        self._settings[name] = settings
        self._changed("user", name)

    def delete(self, name: str) -> None:
        if name == ADMIN:
            raise OpFailedError(f"The user `{ADMIN}` can't be deleted.")
        if name not in self._users:
            raise OpFailedError(f"User `{name}` not found.")
        self._group.meta_delete(USER + name)
        self._group.meta_delete(USER_SETTINGS + name)
        commit(self._group)
        del self._users[name]
        self._settings.pop(name, None)
        self._changed("user", name)


def prepare_name(name: str) -> str:
    """The form under which a user name is kept. Raises ValueError."""
    prepared = saslprep(name)
    if not prepared:
        raise ValueError("Empty username")
    return prepared
