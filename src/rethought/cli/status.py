"""`rethought status`: what a running server says of itself."""

import json
import os
import ssl
import sys
from pathlib import Path
from time import time
from typing import Annotated, Any, Final

from rethought.cli import options as o

EXAMPLE: Final = """\
Example:

  rethought status --connect db.example:28015 --password-file admin.key --tls

The password can be in the environment too (RETHOUGHT_PASSWORD).

Exit status: 0 all is well, 1 the server could not be asked, 2 a table is not
ready or current_issues has a critical row."""

Connect = Annotated[str, o.option(o.NETWORK, "Where the server is; default: localhost:28015.")]
User = Annotated[str, o.option(o.NETWORK, "Who asks; default: admin.")]
PasswordFile = Annotated[Path | None, o.option(o.NETWORK, "File with the user's password.")]
Tls = Annotated[bool | None, o.option(o.TLS, "Speak TLS; the system's authorities are trusted.")]
TlsCa = Annotated[
    Path | None, o.option(o.TLS, "Speak TLS; this authority is trusted (PEM) and no other.")
]
TlsCert = Annotated[
    Path | None, o.option(o.TLS, "Certificate to show to a server that asks for one (PEM).")
]
TlsKey = Annotated[Path | None, o.option(o.TLS, "Its private key (PEM).")]
AsJson = Annotated[bool | None, o.option(o.LOGGING, "Print JSON.", "--json")]

SYSTEM: Final = [14, ["rethinkdb"]]
SIZES: Final = 1 << 20


def status(
    *,
    connect: Connect = "localhost:28015",
    user: User = "admin",
    password_file: PasswordFile = None,
    tls: Tls = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    json_: AsJson = None,
) -> None:
    """Ask a running server how it is."""
    from rethought.cli.driver import Driver

    host, port = address(connect)
    password = secret(password_file)
    context = tls_context(tls_ca, tls_cert, tls_key) if tls or tls_ca or tls_cert else None
    driver = Driver(host, port, tls=context)
    try:
        driver.login(user, password)
        found = ask(driver)
    finally:
        driver.close()
    print(json.dumps(found, indent=2) if json_ else "\n".join(lines(found)))
    sys.exit(0 if found["well"] else 2)


def address(text: str) -> tuple[str, int]:
    from rethought.config import ConfigError

    host, colon, port = text.rpartition(":")
    if not colon:
        return text, 28015
    if not port.isdigit():
        raise ConfigError(f"'{text}' is not a host and a port.")
    return host.strip("[]"), int(port)


def tls_context(
    authority: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    from rethought.config import ConfigError

    try:
        context = ssl.create_default_context(cafile=authority and str(authority))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigError(f"The files for TLS cannot be used: {error}") from error
    return context


def secret(path: Path | None) -> str:
    """The password: from the file, else from the environment, else the empty one."""
    from rethought.config import ConfigError

    if path is None:
        return os.environ.get("RETHOUGHT_PASSWORD", "")
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Could not read the password: {error}") from error


def ask(driver: Any) -> dict[str, Any]:
    """Everything that is shown, as plain data."""

    def rows(table: str) -> list[Any]:
        found: list[Any] = driver.run([15, [SYSTEM, table]])
        return found

    (server,) = rows("server_status")
    stats = {tuple(row["id"]): row for row in rows("stats")}
    tables = [
        {
            "name": f"{row['db']}.{row['name']}",
            "ready": row["status"]["all_replicas_ready"],
        }
        for row in rows("table_status")
    ]
    issues = [
        {"type": row["type"], "critical": row["critical"], "description": row["description"]}
        for row in rows("current_issues")
    ]
    engine = stats["server", server["id"]]["query_engine"]
    process = server["process"]
    space = sum(
        sum(row["storage_engine"]["disk"]["space_usage"].values())
        for row in stats.values()
        if "storage_engine" in row
    )
    return {
        "name": server["name"],
        "id": server["id"],
        "version": process["version"],
        "pid": process["pid"],
        "uptime_seconds": round(time() - process["time_started"]["epoch_time"]),
        "cache_mb": process["cache_size_mb"],
        "connections": engine["client_connections"],
        "queries_total": engine["queries_total"],
        "queries_per_second": round(engine["queries_per_sec"], 1),
        "read_per_second": round(engine["read_docs_per_sec"], 1),
        "written_per_second": round(engine["written_docs_per_sec"], 1),
        "scrub": scrub_of(stats["server", server["id"]].get("scrub")),
        "tables": tables,
        "tables_bytes": space,
        "issues": issues,
        "well": all(table["ready"] for table in tables)
        and not any(issue["critical"] for issue in issues),
    }


def scrub_of(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the search for damage stands; None when there is none."""
    if row is None:
        return None
    finished = row["finished"]
    return {
        "database": row["database"],
        "progress": round(row["progress"], 3),
        "finished": None if finished is None else finished["epoch_time"],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    ready = sum(table["ready"] for table in found["tables"])
    shown = [
        f"{found['name']} ({found['id']})",
        f"  {found['version']}, process {found['pid']}, up for {duration(found['uptime_seconds'])}",
        f"  {found['connections']} connections, {found['queries_total']} queries so far, "
        f"cache {found['cache_mb']} MB",
        f"  {found['queries_per_second']:g} queries, {found['read_per_second']:g} documents read, "
        f"{found['written_per_second']:g} written a second",
        f"  {ready} of {len(found['tables'])} tables ready, {found['tables_bytes'] / SIZES:.1f} MB",
    ]
    if found["scrub"] is not None:
        shown.append(f"  {scrub_line(found['scrub'])}")
    shown += [f"  not ready: {table['name']}" for table in found["tables"] if not table["ready"]]
    shown += [
        f"  {'critical' if issue['critical'] else 'issue'}: {issue['description']}"
        for issue in found["issues"]
    ]
    return shown


def scrub_line(scrub: dict[str, Any]) -> str:
    if scrub["database"] is not None:
        return f"searching {scrub['database']} for damage, {scrub['progress']:.0%} done"
    if scrub["finished"] is None:
        return "not everything was searched for damage yet"
    return f"everything was searched for damage {duration(round(time() - scrub['finished']))} ago"


def duration(seconds: int) -> str:
    days, rest = divmod(max(0, seconds), 86_400)
    text = f"{rest // 3600}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days} days {text}" if days else text
