"""The server: builds the rooms, hands them to each other, and takes them down again.

What always holds: the port is bound before a file is touched, so a second server on it changes nothing; the data
directory is locked as long as files are open in it; a start that fails leaves no new directory behind; at a stop
queries under way finish first, then every file is checkpointed and closed. This is the only module that knows all the
rooms; `cli` calls `run` and `create`.
"""

import asyncio
import contextlib
import logging
import os
import platform
import resource
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rethought import VERSION, stack
from rethought import log as server_log
from rethought.cachesize import first_size, keep_cache_size
from rethought.config import Config
from rethought.datadir import StartError, encryption_key, locked, make_directory, pid_file
from rethought.garbage import Collector
from rethought.log import notice
from rethought.web.starting import answering
from rethought.wire.listener import Listener
from rethought.wire.sockets import BindError, addresses_of, bind
from rethought.wire.tls import TlsError, load_certificate, load_parameters, make_context

if TYPE_CHECKING:
    from ssl import SSLContext

    from rethought.catalog import Catalog, IndexDefinition
    from rethought.catalog.model import Rule
    from rethought.store import Cache, Group
    from rethought.system import Node
    from rethought.system.reporting import Reporter
    from rethought.system.scrubbing import Scrubbing
    from rethought.web.server import WebServer

log = logging.getLogger("rethought.server")

MEGABYTE: Final = 1 << 20
SECONDS_A_DAY: Final = 86_400
SYSTEM_CACHE_BYTES: Final = 8 * MEGABYTE


class Data:
    """An open data directory: its lock, its catalog and the page cache of its files."""

    def __init__(self, directory: Path, catalog: "Catalog", cache: "Cache", *, fresh: bool) -> None:
        self.directory = directory
        self.catalog = catalog
        self.cache = cache
        self.fresh = fresh


@dataclass(slots=True)
class Ports:
    """Bound sockets and the TLS spoken on them; `http` is None without an HTTP port."""

    driver: list[socket.socket]
    http: list[socket.socket] | None
    driver_tls: "SSLContext | None" = None
    http_tls: "SSLContext | None" = None

    def close(self) -> None:
        for sock in [*self.driver, *(self.http or [])]:
            sock.close()


class Server:
    """A running server. `start`, then `stop`."""

    def __init__(self, config: Config, data: Data, ports: Ports) -> None:
        self.config = config
        self.data = data
        self.ports = ports
        self.listener: Listener | None = None
        self.engine: Any = None
        self.web: WebServer | None = None
        self.scrubbing: Scrubbing | None = None
        self.stopping = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_error)
        catalog, ports = self.data.catalog, self.ports
        self.engine = build_engine(catalog, self.config, loop)
        node, reporter = build_node(self.data, self.engine, ports)
        install_system(catalog, node, loop)
        reporter.watch(loop)
        open_audit(self.engine, self.data.catalog, self.config)
        self.listener = Listener(
            self.engine,
            self.config.limits,
            loop,
            tls=ports.driver_tls,
            users_in_certificates=self.config.driver_tls_user,
        )
        reporter.listener = self.listener
        await self.listener.open(ports.driver)
        if ports.http is not None:
            self.web = build_web(self, node, reporter)
            await self.web.open(ports.http, tls=ports.http_tls)
        if self.config.scrub_days:
            self.scrubbing = start_scrubbing(catalog, self.config, node)

    async def stop(self) -> None:
        self.stopping = True
        notice("Shutting down client connections...")
        if self.listener is not None:
            await self.listener.close()
        if self.web is not None:
            await self.web.close()
        notice("All client connections closed.")
        notice("Shutting down storage engine...")
        if self.scrubbing is not None:
            await self.scrubbing.stop()
        close_engine(self.engine)
        self.data.catalog.close()
        notice("Storage engine shut down.")

    def reload(self) -> None:
        """Take up what somebody changed outside, without a restart."""
        try:
            server_log.LOG.open_file(self.config.log_path)
        except OSError as error:
            log.error("The log file could not be opened anew: %s", error)
        else:
            notice("The log file was opened anew.")
        self.reload_certificate()

    def reload_certificate(self) -> None:
        """Take renewed certificates into use without a restart; connections that are open keep theirs."""
        config = self.config
        try:
            renewed = make_tls(
                config, config.driver_tls_cert, config.driver_tls_key, config.driver_tls_ca
            )
            if config.http_tls_cert and config.http_tls_key and self.ports.http_tls is not None:
                load_certificate(self.ports.http_tls, config.http_tls_cert, config.http_tls_key)
                if config.tls_dhparams is not None:
                    load_parameters(self.ports.http_tls, config.tls_dhparams)
        except (StartError, TlsError) as error:
            log.error("The certificate was not reloaded: %s", error)
            return
        if renewed is not None and self.listener is not None:
            self.listener.tls = renewed
        if renewed is not None or self.ports.http_tls is not None:
            notice("The certificate was reloaded.")


# Running


def run(config: Config, *, without_effect: Sequence[str] = ()) -> None:
    """Serve until a signal ends it. Raises `StartError` when it cannot."""
    import uvloop

    stack.prepare()
    server_log.setup(json=config.log_format == "json")
    for name in without_effect:
        log.warning("The option --%s has no effect.", name.replace("_", "-"))
    uvloop.run(serve(config))


def create(config: Config) -> None:
    """Prepare a data directory and leave it closed."""
    if config.directory.exists():
        raise StartError(f"The path '{config.directory}' already exists.  Delete it and try again.")
    server_log.setup(json=config.log_format == "json")
    asyncio.run(prepare(config))


async def prepare(config: Config) -> None:
    with data_directory(config) as data:
        data.catalog.close()


async def serve(config: Config) -> None:
    ports = bind_ports(config)
    try:
        ports.driver_tls = make_tls(
            config, config.driver_tls_cert, config.driver_tls_key, config.driver_tls_ca
        )
        ports.http_tls = make_tls(config, config.http_tls_cert, config.http_tls_key, None)
        with pid_file(config.pid_file), contextlib.ExitStack() as opened:
            with answering(ports.http, ports.http_tls):
                data = opened.enter_context(data_directory(config))
            server = Server(config, data, ports)
            announce_ports(config, ports)
            stopping = stop_signal(server)
            await server.start()
            collector = collect_garbage(server.engine)
            identity = data.catalog.identity
            notice('Server ready, "%s" %s', identity.name, identity.id)
            notice("Server got %s; shutting down...", await stopping)
            await server.stop()
            collector.stop()
    finally:
        ports.close()


def collect_garbage(engine: Any) -> Collector:
    """From now on at moments of our choice; what was built so far lives as long as the process."""
    scheduler = engine.scheduler
    collector = Collector(
        scheduler.loop, quiet=lambda: scheduler.quiet, held=lambda: scheduler.memory()
    )
    collector.start()
    return collector


def stop_signal(server: Server) -> "asyncio.Future[str]":
    """Done with the name of the signal that asks the server to stop. The next one ends the process at once."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[str] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        if not stopping.done():
            stopping.set_result(number.name)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    return stopping


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody caught: a client that went away is not worth a stack, everything else is our bug."""
    error = context.get("exception")
    if not isinstance(error, OSError):
        log.error("%s", context.get("message", "Unexpected error"), exc_info=error)


# The data directory


@contextlib.contextmanager
def data_directory(config: Config) -> Iterator[Data]:
    """The directory, locked, with its catalog open; whoever uses it closes the catalog."""
    directory = config.directory
    # Only the owner may read what is stored here.
    os.umask(0o077)
    fresh = make_directory(directory)
    succeeded = False
    try:
        with locked(directory):
            fresh = fresh or not any(directory.glob("*.db"))
            server_log.setup(json=config.log_format == "json", file=config.log_path)
            introduce(config, fresh=fresh)
            finish_rotation(directory)
            catalog, cache = open_catalog(config)
            try:
                if fresh:
                    catalog.create_database("test")
                set_initial_password(config, catalog)
            except BaseException:
                catalog.close()
                raise
            succeeded = True
            yield Data(directory, catalog, cache, fresh=fresh)
    finally:
        server_log.LOG.close_file()
        if fresh and not succeeded:
            shutil.rmtree(directory, ignore_errors=True)


def finish_rotation(directory: Path) -> None:
    from rethought.maintenance import rotation

    if rotation.finish(directory):
        notice("Finished a rotation of the encryption key that was interrupted.")


def introduce(config: Config, *, fresh: bool) -> None:
    if fresh:
        notice("Initializing directory %s", config.directory.absolute())
    python = f"Python {platform.python_version()}"
    notice("Running rethought %s (%s) (%s)...", VERSION, platform.machine(), python)
    notice("Running on %s %s %s", platform.system(), platform.release(), platform.machine())
    if not fresh:
        notice("Loading data from directory %s", config.directory.absolute())


def set_initial_password(config: Config, catalog: "Catalog") -> None:
    """Gives the user `admin` a password, unless it has one."""
    password = config.initial_password
    if config.initial_password_file is not None:
        try:
            password = config.initial_password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"Could not read the initial password: {error}") from error
    if password is None:
        return
    if catalog.users.has_password("admin"):
        notice(
            "Ignoring --initial-password option because the admin password is already configured."
        )
        return
    if password == "auto":
        password = str(uuid.uuid4())
        print(f"Generated random admin password: {password}", flush=True)  # not into the log
    catalog.users.set_password("admin", password)
    catalog.group.flush()


# Building the rooms


def open_catalog(config: Config) -> "tuple[Catalog, Cache]":
    from rethought import catalog, store

    loop = asyncio.get_running_loop()
    key = encryption_key(config.encryption_key_file, os.environ)
    system: list[Group] = []

    shared = store.Cache()

    def open_group(path: Path) -> "Group":
        """The system group comes first: it remembers the cache size of an earlier start. All others share a cache."""
        if system and shared.total is None:
            shared.total = first_size(config, system[0])
        options = store.GroupOptions(
            key=key,
            cache=shared if system else store.Cache(),
            cache_bytes=shared.total or SYSTEM_CACHE_BYTES,
            journal_seconds=config.journal_hours * 3600,
            journal_bytes=config.journal_size * MEGABYTE,
        )
        group = store.open_group(path, loop=loop, options=options)
        system.append(group)
        return group

    try:
        opened = catalog.open_catalog(
            config.directory,
            open_group,
            make_index_rule,
            server_name=config.server_name or default_server_name(),
            server_tags=config.server_tag,
        )
    except catalog.MissingFileError as error:
        raise StartError(str(error)) from error
    keep_cache_size(config, opened, shared)
    return opened, shared


def default_server_name() -> str:
    """The machine's name and three random characters, so that two servers of one machine differ."""
    host = "".join(
        char if char.isascii() and char.isalnum() else "_" for char in socket.gethostname()
    )
    return f"{host}_{uuid.uuid4().hex[:3]}"


def bind_ports(config: Config) -> Ports:
    raise_file_limit()
    try:
        driver = bind(config.driver_addresses, config.port(config.driver_port))
        if config.no_http_admin:
            return Ports(driver, None)
        try:
            return Ports(driver, bind(config.http_addresses, config.port(config.http_port)))
        except BindError:
            Ports(driver, None).close()
            raise
    except BindError as error:
        raise StartError(str(error)) from error


def raise_file_limit() -> None:
    """A connection is a file; the usual limit of 1,024 is a default, not a wish."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def announce_ports(config: Config, ports: Ports) -> None:
    notice("Listening for client driver connections on port %d", port_of(ports.driver))
    if ports.http is None:
        notice("Administrative HTTP connections are disabled.")
    else:
        notice("Listening for administrative HTTP connections on port %d", port_of(ports.http))
    notice("Listening on driver addresses: %s", addresses_of(ports.driver))
    if ports.http is not None:
        notice("Listening on http addresses: %s", addresses_of(ports.http))
    if not config.exposed:
        notice(
            "To fully expose Rethought on the network, bind to all addresses by running rethought "
            "with the `--bind all` command line option."
        )


def port_of(sockets: list[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])


def make_tls(
    config: Config, certificate: Path | None, key: Path | None, authority: Path | None
) -> "SSLContext | None":
    if certificate is None or key is None:
        return None
    try:
        return make_context(
            certificate=certificate,
            key=key,
            authority=authority,
            min_protocol=config.tls_min_protocol,
            ciphers=config.tls_ciphers,
            curve=config.tls_ecdh_curve,
            dh_params=config.tls_dhparams,
        )
    except TlsError as error:
        raise StartError(str(error)) from error


def make_index_rule(definition: "IndexDefinition") -> "Rule":
    """Compiles an index function; the catalog calls this when an index is first needed."""
    from rethought.exec.index_rules import rule_for
    from rethought.reql.functions import compile_function

    return rule_for(definition, compile_function)


def build_engine(catalog: "Catalog", config: Config, loop: asyncio.AbstractEventLoop) -> Any:
    from rethought.reql.engine import Engine
    from rethought.reql.slow import WatchedEngine

    if not config.slow_query_seconds:
        return Engine(catalog, config.limits, loop, random_bytes=os.urandom)
    watched = WatchedEngine(catalog, config.limits, loop, random_bytes=os.urandom)
    watched.slow_seconds = config.slow_query_seconds
    return watched


def build_node(data: Data, engine: Any, ports: Ports) -> "tuple[Node, Reporter]":
    from rethought.system import Node, kill_query, running_queries
    from rethought.system.reporting import Reporter

    node = Node(
        hostname=socket.gethostname(),
        addresses=tuple(str(sock.getsockname()[0]) for sock in ports.driver),
        driver_port=port_of(ports.driver),
        http_port=None if ports.http is None else port_of(ports.http),
        cache_mb=lambda: (data.cache.total or 0) / MEGABYTE,
        queries=lambda asking: running_queries(engine, asking),
        kill=lambda id_, message: kill_query(engine, id_, message),
    )
    reporter = Reporter(data.catalog, engine)
    reporter.fill(node)
    return node, reporter


def install_system(catalog: "Catalog", node: "Node", loop: asyncio.AbstractEventLoop) -> None:
    from rethought.system import install

    install(catalog, node, loop)


def start_scrubbing(catalog: "Catalog", config: Config, node: "Node") -> "Scrubbing":
    from rethought.system.scrubbing import Scrubbing

    scrubbing = Scrubbing(
        catalog,
        every_seconds=config.scrub_days * SECONDS_A_DAY,
        bytes_per_second=config.scrub_rate * MEGABYTE,
    )
    node.scrub = scrubbing.state
    scrubbing.start()
    return scrubbing


def build_web(server: Server, node: "Node", reporter: "Reporter") -> "WebServer":
    from rethought.system.metrics import metrics
    from rethought.web.reql import ReqlEndpoint
    from rethought.web.server import Readiness, WebServer

    listener = server.listener
    assert listener is not None
    limits = server.config.limits
    reql = ReqlEndpoint(
        server.engine,
        limits,
        names={"localhost", socket.gethostname(), *server.config.http_host},
        failed=listener.failed,
        may_guess=listener.may_guess,
        random_bytes=os.urandom,
    )
    return WebServer(
        reql=reql,
        metrics=lambda: metrics(reporter, node),
        readiness=lambda for_writes: Readiness(
            not server.stopping,
            not server.stopping and reporter.writable(probe=for_writes),
            [issue.description for issue in node.issues()],
        ),
        limits=limits,
    )


def open_audit(engine: Any, catalog: "Catalog", config: Config) -> None:
    from rethought.system.audit import Audit

    if config.audit_log is None:
        return
    try:
        audit = Audit(
            config.audit_log,
            catalog,
            data=config.audit_data,
            size_max=config.audit_size * MEGABYTE,
            files_max=config.audit_files,
            loop=asyncio.get_running_loop(),
        )
        engine.keep_audit(audit)
    except OSError as error:
        raise StartError(f"Could not open the audit log: {error}") from error


def close_engine(engine: Any) -> None:
    if engine is not None and engine.audit is not None:
        engine.audit.close()
    close = getattr(engine, "close", None)
    if close is not None:
        close()
