"""What an operator may set, where the settings come from, and what is wrong with them.

What always holds: a `Config` is complete, checked and never changes; a setting comes from the command line, else from
an environment variable, else from the configuration file, else from its default here. Every mistake is a
`ConfigError` whose text says what to do. Callers: `cli` builds it, `server.py` reads it.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from rethought.limits import MAY_BE_ZERO, Limits

DEFAULT_DIRECTORY: Final = "rethought_data"
ENVIRONMENT_PREFIX: Final = "RETHOUGHT_"
SERVER_NAME: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
TLS_USERS: Final = ("cn", "san")
TLS_PROTOCOLS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


class ConfigError(Exception):
    """A setting, or the place the server is to run in, is not as it must be. The text is for the operator."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Every setting of a server. Names are those of the options on the command line."""

    # Where the data is.
    directory: Path = Path(DEFAULT_DIRECTORY)
    encryption_key_file: Path | None = None
    cache_size: str | None = None  # megabytes, or "auto"; None: as at the last start
    journal_hours: float = 24.0
    journal_size: int = 64  # megabytes a database
    scrub_days: float = 7.0  # every file is searched for damage this often; 0: never
    scrub_rate: float = 8.0  # megabytes a second

    # Who this server is.
    server_name: str | None = None
    server_tag: list[str] = []
    initial_password: str | None = None
    initial_password_file: Path | None = None

    # Where it listens.
    bind: list[str] = []
    bind_driver: list[str] = []
    bind_http: list[str] = []
    no_default_bind: bool = False
    driver_port: int = 28015
    http_port: int = 8080
    port_offset: int = 0
    no_http_admin: bool = False
    http_host: list[
        str
    ] = []  # names under which the HTTP port may be asked, besides the machine's own

    # TLS.
    driver_tls_key: Path | None = None
    driver_tls_cert: Path | None = None
    driver_tls_ca: Path | None = None
    driver_tls_user: str | None = None  # where a client's certificate names its user: "cn" or "san"
    http_tls_key: Path | None = None
    http_tls_cert: Path | None = None
    tls_min_protocol: str = "TLSv1.2"
    tls_ciphers: str = "EECDH+AESGCM"
    tls_ecdh_curve: str = "prime256v1"
    tls_dhparams: Path | None = None

    # How it shows itself.
    log_file: Path | None = None
    log_format: str = "text"
    slow_query_seconds: float = 0.0  # 0: slow queries are not logged
    pid_file: Path | None = None
    audit_log: Path | None = None
    audit_data: bool = False  # which tables queries read and write, too
    audit_size: int = 100  # megabytes; a larger file is moved aside
    audit_files: int = 10  # that are kept

    limits: Limits = Limits()

    def __post_init__(self) -> None:
        check(self)

    @property
    def driver_addresses(self) -> list[str]:
        """Addresses to listen on for drivers; `all` is every one of the machine."""
        return self._addresses(self.bind_driver)

    @property
    def http_addresses(self) -> list[str]:
        return self._addresses(self.bind_http)

    def _addresses(self, own: list[str]) -> list[str]:
        chosen = own or self.bind
        if "all" in chosen:
            return ["all"]
        loopback = [] if self.no_default_bind else ["127.0.0.1", "::1"]
        return list(dict.fromkeys([*loopback, *chosen]))

    def port(self, base: int) -> int:
        """A port with the offset; 0 stays 0, the system then chooses one."""
        return base + self.port_offset if base else 0

    @property
    def log_path(self) -> Path:
        return self.log_file or self.directory / "log_file"

    @property
    def exposed(self) -> bool:
        return self.driver_addresses == ["all"]


def load(
    given: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> Config:
    """Join what was `given` on the command line (absent settings left out) with the other places."""
    config_file = config_file or _path(environment.get(ENVIRONMENT_PREFIX + "CONFIG_FILE"))
    settings: dict[str, Any] = {}
    if config_file is not None:
        settings |= read_file(config_file)
    settings |= from_environment(environment)
    settings |= {name.replace("_", "-"): value for name, value in given.items() if name != "limit"}
    limits = settings.get("limits", {}) | limits_of_environment(environment)
    settings["limits"] = limits | limits_given(given.get("limit", ()))
    if "initial-password" in settings and "initial-password-file" in settings:
        raise ConfigError(
            "Only one of --initial-password and --initial-password-file can be given."
        )
    return convert(settings, "The settings are not right")


def read_file(path: Path) -> dict[str, Any]:
    """The settings of a configuration file in TOML; names as on the command line, with `-` or `_`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Could not read the configuration file {path}: {error}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Error in the configuration file {path}: {error}") from error
    settings = {name.replace("_", "-"): value for name, value in tables.items()}
    for name in ("bind", "bind-driver", "bind-http", "http-host", "server-tag"):
        if isinstance(settings.get(name), str):
            settings[name] = [settings[name]]
    if isinstance(settings.get("cache-size"), int):
        settings["cache-size"] = str(settings["cache-size"])
    if isinstance(settings.get("limits"), dict):
        limits = settings["limits"]
        settings["limits"] = {name.replace("-", "_"): value for name, value in limits.items()}
    convert(settings, f"Error in the configuration file {path}")
    return settings


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings from variables such as `RETHOUGHT_DRIVER_PORT`; several values are separated by commas."""
    settings: dict[str, Any] = {}
    for field in msgspec.structs.fields(Config):
        text = environment.get(ENVIRONMENT_PREFIX + field.name.upper())
        if text is None or field.name == "limits":
            continue
        if isinstance(field.default_factory, type) and issubclass(field.default_factory, list):
            settings[field.encode_name] = [part.strip() for part in text.split(",")]
        else:
            settings[field.encode_name] = text
    return settings


def limits_of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Limits from variables such as `RETHOUGHT_LIMIT_ARRAY_LIMIT`."""
    prefix = ENVIRONMENT_PREFIX + "LIMIT_"
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }


def limits_given(settings: Iterable[str]) -> dict[str, str]:
    """Limits from the command line, each as `name=value`."""
    limits = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"A limit is given as name=value, got '{setting}'")
        limits[name.strip().replace("-", "_")] = value.strip()
    return limits


def convert(settings: dict[str, Any], what: str) -> Config:
    try:
        return msgspec.convert(settings, Config, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        # A check of ours comes wrapped; its own text is the better one.
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise ConfigError(f"{what}: {error}") from None


def check(config: Config) -> None:
    """Raises for what no server could run with."""
    if config.server_name is not None and not SERVER_NAME.match(config.server_name):
        raise ConfigError(
            f"server-name '{config.server_name}' is invalid.  (Use A-Z, a-z, 0-9, _ and - only)"
        )
    for tag in config.server_tag:
        if not SERVER_NAME.match(tag):
            raise ConfigError(f"server-tag '{tag}' is invalid.  (Use A-Z, a-z, 0-9, _ and - only)")
    if config.cache_size not in (None, "auto") and not _is_megabytes(config.cache_size):
        raise ConfigError(
            f"ERROR: cache-size should be a number or 'auto', got '{config.cache_size}'"
        )
    if config.log_format not in ("text", "json"):
        raise ConfigError(f"log-format should be 'text' or 'json', got '{config.log_format}'")
    for name, port in (("driver-port", config.driver_port), ("http-port", config.http_port)):
        if not 0 <= config.port(port) <= 65_535:
            raise ConfigError(f"{name} plus port-offset should be 0 to 65535")
    if config.audit_data and config.audit_log is None:
        raise ConfigError("--audit-data needs --audit-log.")
    if config.audit_size < 1 or config.audit_files < 1:
        raise ConfigError("audit-size and audit-files should be at least 1")
    if config.journal_hours < 0 or config.journal_size < 0:
        raise ConfigError("journal-hours and journal-size should not be negative")
    if config.scrub_days < 0:
        raise ConfigError("scrub-days should not be negative")
    if config.scrub_rate <= 0:
        raise ConfigError("scrub-rate should be greater than zero")
    if config.slow_query_seconds < 0:
        raise ConfigError("slow-query-seconds should not be negative")
    check_limits(config.limits)
    check_tls(config)


def check_limits(limits: Limits) -> None:
    for field in msgspec.structs.fields(Limits):
        value = getattr(limits, field.name)
        if value < 0 or not (value or field.name in MAY_BE_ZERO):
            least = "not negative" if field.name in MAY_BE_ZERO else "more than 0"
            raise ConfigError(f"The limit {field.name} should be {least}, got {value}")
    if limits.refused_share > 1:
        raise ConfigError(
            f"The limit refused_share should be at most 1, got {limits.refused_share}"
        )


def check_tls(config: Config) -> None:
    key, cert, ca = config.driver_tls_key, config.driver_tls_cert, config.driver_tls_ca
    if ca is not None and not (key and cert):
        raise ConfigError(
            "--driver-tls-key and --driver-tls-cert must be specified if --driver-tls-ca is "
            "specified."
        )
    if bool(key) != bool(cert):
        raise ConfigError("--driver-tls-key and --driver-tls-cert must be specified together.")
    if config.driver_tls_user not in (None, *TLS_USERS):
        raise ConfigError(
            f"driver-tls-user should be 'cn' or 'san', got '{config.driver_tls_user}'"
        )
    if config.driver_tls_user is not None and ca is None:
        raise ConfigError("--driver-tls-user needs --driver-tls-ca.")
    if bool(config.http_tls_key) != bool(config.http_tls_cert):
        raise ConfigError("--http-tls-key and --http-tls-cert must be specified together.")
    if config.tls_min_protocol not in TLS_PROTOCOLS:
        raise ConfigError(f"Unrecognized TLS protocol version '{config.tls_min_protocol}'.")


def _is_megabytes(text: str | None) -> bool:
    try:
        return float(text or "") >= 0
    except ValueError:
        return False


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise NotImplementedError
