"""The options that several commands share, each with its help text.

What always holds: an option is named as in RethinkDB where it has one of that meaning; None means "not given", so that
`config` can look elsewhere. Callers: the modules of commands.
"""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

DATA = Group("Data", sort_key=1)
SERVER = Group("Server", sort_key=2)
NETWORK = Group("Network", sort_key=3)
TLS = Group("TLS", sort_key=4)
LOGGING = Group("Log", sort_key=5)

_ADDRESS = "'all' for every address of the machine."


def option(group: Group, help_: str, *names: str, show: bool = True) -> Parameter:
    return Parameter(
        name=names or None,
        group=group,
        help=help_,
        show=show,
        show_default=False,
        negative="",
        negative_iterable="",
    )


Directory = Annotated[
    Path | None,
    option(DATA, "Where the data is; default: rethought_data.", "--directory", "-d"),
]
EncryptionKeyFile = Annotated[
    Path | None,
    option(DATA, "File with the key the data is encrypted with: 32 bytes or 64 hex digits."),
]
CacheSize = Annotated[
    str | None,
    option(DATA, "Megabytes of data kept in memory; default: auto (half of what is available)."),
]
JournalHours = Annotated[
    float | None, option(DATA, "How long changes are kept for feeds that resume; default: 24.")
]
JournalSize = Annotated[
    int | None, option(DATA, "Megabytes of changes kept for each database; default: 64.")
]
ScrubDays = Annotated[
    float | None,
    option(DATA, "Every file is searched for damage once in so many days; default: 7; 0: never."),
]
ScrubRate = Annotated[
    float | None, option(DATA, "Megabytes a second read in search of damage; default: 8.")
]
ConfigFile = Annotated[
    Path | None,
    option(SERVER, "TOML file with these options; those given here win."),
]
ServerName = Annotated[
    str | None,
    option(SERVER, "Name of a new server; default: the machine's name.", "--server-name", "-n"),
]
ServerTag = Annotated[
    list[str] | None,
    option(SERVER, "Tag of a new server; may be repeated.", "--server-tag", "-t"),
]
InitialPassword = Annotated[
    str | None,
    option(SERVER, "Password of the user admin if it has none yet; 'auto' makes one up."),
]
InitialPasswordFile = Annotated[
    Path | None, option(SERVER, "The same, from a file, where others do not see it.")
]
PidFile = Annotated[Path | None, option(SERVER, "Write the process id here while running.")]
Bind = Annotated[
    list[str] | None,
    option(NETWORK, "Address to listen on besides loopback; may be repeated; " + _ADDRESS),
]
BindDriver = Annotated[list[str] | None, option(NETWORK, "The same for drivers only.")]
BindHttp = Annotated[list[str] | None, option(NETWORK, "The same for HTTP only.")]
NoDefaultBind = Annotated[
    bool | None, option(NETWORK, "Do not listen on loopback, only where told to.")
]
DriverPort = Annotated[
    int | None, option(NETWORK, "Port for drivers; default: 28015; 0: any free one.")
]
HttpPort = Annotated[int | None, option(NETWORK, "Port for HTTP; default: 8080.")]
PortOffset = Annotated[
    int | None, option(NETWORK, "Added to all ports; default: 0.", "--port-offset", "-o")
]
NoHttpAdmin = Annotated[bool | None, option(NETWORK, "No HTTP port.")]
HttpHost = Annotated[
    list[str] | None,
    option(NETWORK, "Name of this machine that HTTP queries may use; may be repeated."),
]
DriverTlsKey = Annotated[Path | None, option(TLS, "Private key for drivers' connections (PEM).")]
DriverTlsCert = Annotated[Path | None, option(TLS, "Certificate chain for them (PEM).")]
DriverTlsCa = Annotated[
    Path | None, option(TLS, "Clients must show a certificate signed by this authority (PEM).")
]
DriverTlsUser = Annotated[
    str | None,
    option(
        TLS,
        "Where a client's certificate names the user it is for: cn (common name) or san "
        "(alternative names); default: it does not matter.",
    ),
]
HttpTlsKey = Annotated[Path | None, option(TLS, "Private key for HTTP (PEM).")]
HttpTlsCert = Annotated[Path | None, option(TLS, "Certificate chain for HTTP (PEM).")]
TlsMinProtocol = Annotated[
    str | None, option(TLS, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3; default: TLSv1.2.")
]
TlsCiphers = Annotated[
    str | None, option(TLS, "OpenSSL cipher list up to TLS 1.2; default: EECDH+AESGCM.")
]
TlsEcdhCurve = Annotated[str | None, option(TLS, "Curve; default: prime256v1.")]
TlsDhparams = Annotated[Path | None, option(TLS, "Parameters for DHE ciphers (PEM).")]
AuditLog = Annotated[
    Path | None,
    option(LOGGING, "Who logged in and administered what, as JSON lines; default: none."),
]
AuditData = Annotated[
    bool | None, option(LOGGING, "Also which tables every query reads and writes.")
]
AuditSize = Annotated[
    int | None, option(LOGGING, "Megabytes after which a new file is begun; default: 100.")
]
AuditFiles = Annotated[
    int | None, option(LOGGING, "So many files of the audit log are kept; default: 10.")
]
LogFile = Annotated[Path | None, option(LOGGING, "Default: log_file in the data directory.")]
LogFormat = Annotated[str | None, option(LOGGING, "text or json; default: text.")]

SlowQuerySeconds = Annotated[
    float | None,
    option(LOGGING, "Log queries that take this long, with their text; default: 0 (none)."),
]

Limit = Annotated[
    list[str] | None,
    option(SERVER, "A limit, as name=value (array_limit=200000); may be repeated."),
]

# Options of RethinkDB that mean nothing here. Scripts that give them go on working.
WithoutEffect = Annotated[str | None, option(SERVER, "Has no effect.", show=False)]
CoresWithoutEffect = Annotated[
    str | None, option(SERVER, "Has no effect.", "--cores", "-c", show=False)
]
FlagWithoutEffect = Annotated[bool | None, option(SERVER, "Has no effect.", show=False)]


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line, of a command's arguments."""
    return {name: value for name, value in arguments.items() if value is not None}
