"""The server: builds the rooms, hands them to each other, and takes them down again.

What always holds: the port is bound before a file is touched, so a second server on it changes nothing; the data
directory is locked as long as files are open in it; a start that fails leaves no new directory behind; at a stop
queries under way finish first, then every file is checkpointed and closed. This is the only module that knows all the
rooms; `cli` calls `run` and `create`.
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import platform
import resource
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from rethought import VERSION, stack
from rethought import log as server_log
from rethought.config import Config
from rethought.log import notice
from rethought.wire.listener import Listener
from rethought.wire.sockets import BindError, addresses_of, bind
from rethought.wire.tls import TlsError, load_certificate, make_context

if TYPE_CHECKING:
    from ssl import SSLContext

    from rethought.catalog import Catalog, IndexDefinition
    from rethought.catalog.model import Rule
    from rethought.store import Group

log = logging.getLogger("rethought.server")

MEGABYTE: Final = 1 << 20
CACHE_AUTO_RESERVED_MB: Final = 1_024
CACHE_MIN_MB: Final = 100
SYSTEM_CACHE_BYTES: Final = 8 * MEGABYTE
GC_THRESHOLD: Final = (50_000, 20, 50)
"""Fewer collections: nearly nothing a query allocates is part of a cycle."""


class StartError(Exception):
    """Why the server does not start; the text is for the operator."""


class Data:
    """An open data directory: its lock and its catalog."""

    def __init__(self, directory: Path, catalog: "Catalog", *, fresh: bool) -> None:
        self.directory = directory
        self.catalog = catalog
        self.fresh = fresh


class Server:
    """A running server. `start`, then `stop`."""

    def __init__(
        self, config: Config, data: Data, sockets: list[socket.socket], tls: "SSLContext | None"
    ) -> None:
        self.config = config
        self.data = data
        self.sockets = sockets
        self.listener: Listener | None = None
        self.engine: Any = None
        self.tls = tls

    @property
    def port(self) -> int:
        return int(self.sockets[0].getsockname()[1])

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_error)
        self.engine = build_engine(self.data.catalog, self.config, loop, self.port)
        open_audit(self.engine, self.data.catalog, self.config)
        self.listener = Listener(self.engine, self.config.limits, loop, tls=self.tls)
        await self.listener.open(self.sockets)

    async def stop(self) -> None:
        notice("Shutting down client connections...")
        if self.listener is not None:
            await self.listener.close()
        notice("All client connections closed.")
        notice("Shutting down storage engine...")
        close_engine(self.engine)
        self.data.catalog.close()
        notice("Storage engine shut down.")

    def reload_certificate(self) -> None:
        """Take a renewed certificate into use without a restart."""
        config = self.config
        if self.tls is None or config.driver_tls_cert is None or config.driver_tls_key is None:
            return
        try:
            load_certificate(self.tls, config.driver_tls_cert, config.driver_tls_key)
        except TlsError as error:
            log.error("The certificate was not reloaded: %s", error)
        else:
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
    sockets = bind_driver_port(config)
    try:
        tls = driver_tls(config)
        with pid_file(config.pid_file), data_directory(config) as data:
            server = Server(config, data, sockets, tls)
            announce_ports(config, sockets)
            stopping = stop_signal(server)
            await server.start()
            settle()
            identity = data.catalog.identity
            notice('Server ready, "%s" %s', identity.name, identity.id)
            notice("Server got %s; shutting down...", await stopping)
            await server.stop()
    finally:
        for sock in sockets:
            sock.close()


def settle() -> None:
    """What was built so far lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)


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
    loop.add_signal_handler(signal.SIGHUP, server.reload_certificate)
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
            catalog = open_catalog(config)
            try:
                if fresh:
                    catalog.create_database("test")
                set_initial_password(config, catalog)
            except BaseException:
                catalog.close()
                raise
            succeeded = True
            yield Data(directory, catalog, fresh=fresh)
    finally:
        server_log.LOG.close_file()
        if fresh and not succeeded:
            shutil.rmtree(directory, ignore_errors=True)


def make_directory(directory: Path) -> bool:
    """True when it was not there before."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        if not directory.is_dir():
            raise StartError(f"The path '{directory}' is not a directory.") from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise StartError(f"The directory '{directory}' cannot be written to.") from None
        return False
    except OSError as error:
        raise StartError(
            f"Could not create the directory '{directory}': {error.strerror}."
        ) from error
    return True


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """The lock is on the directory itself, so no file tells of it and a killed server leaves none behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"Directory '{directory}' is already in use, perhaps another instance of rethought "
                "is using it."
            ) from error
        yield
    finally:
        os.close(descriptor)


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


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        with path.open("x") as file:
            file.write(f"{os.getpid()}\n")
    except FileExistsError:
        raise StartError(
            "The pid-file specified already exists. This might mean that an instance is already "
            "running."
        ) from None
    except OSError as error:
        raise StartError(f"Could not write the pid-file '{path}': {error.strerror}.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


# Building the rooms


def open_catalog(config: Config) -> "Catalog":
    from rethought import catalog, store

    loop = asyncio.get_running_loop()
    key = None if config.encryption_key_file is None else read_key(config.encryption_key_file)
    system: list[Group] = []

    def open_group(path: Path) -> "Group":
        """The system group comes first: it remembers the cache size of an earlier start."""
        cache_bytes = (
            cache_megabytes(config, system[0]) * MEGABYTE if system else SYSTEM_CACHE_BYTES
        )
        options = store.GroupOptions(
            key=key,
            cache_bytes=cache_bytes,
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
    remember_cache_size(config, opened)
    return opened


def remember_cache_size(config: Config, catalog: "Catalog") -> None:
    """A size given at one start counts for the next ones too; `auto` forgets it."""
    server = catalog.identity.server
    if config.cache_size is not None:
        kept = None if config.cache_size == "auto" else float(config.cache_size)
        if kept != server.cache_size_mb:
            catalog.identity.set_server(structs.replace(server, cache_size_mb=kept))
            catalog.group.flush()
    automatic = catalog.identity.server.cache_size_mb is None
    text = "Automatically using cache size of %d MB" if automatic else "Cache size is set to %d MB"
    log.info(text, cache_megabytes(config, catalog.group))


def cache_megabytes(config: Config, system: "Group") -> int:
    """Memory for pages: as given now, else as given before, else half of what is left for us."""
    from rethought.catalog.records import SERVER, ServerRecord, decode

    if config.cache_size is not None and config.cache_size != "auto":
        return int(float(config.cache_size))
    record = system.meta_get(SERVER)
    if config.cache_size is None and record is not None:
        kept = decode(record, type=ServerRecord).cache_size_mb
        if kept is not None:
            return int(kept)
    return max(CACHE_MIN_MB, (available_megabytes() - CACHE_AUTO_RESERVED_MB) // 2)


def read_key(path: Path) -> bytes:
    """An encryption key: 32 bytes, or 64 hexadecimal digits."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StartError(f"Could not read the encryption key: {error}") from error
    if len(content) == 32:
        return content
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(content.decode("ascii").strip())
        if len(key) == 32:
            return key
    raise StartError(
        f"The encryption key in '{path}' should be 32 bytes, or 64 hexadecimal digits.  "
        f"Make one with: openssl rand -hex 32 > {path}"
    )


def available_megabytes() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEGABYTE // 2


def default_server_name() -> str:
    """The machine's name and three random characters, so that two servers of one machine differ."""
    host = "".join(
        char if char.isascii() and char.isalnum() else "_" for char in socket.gethostname()
    )
    return f"{host}_{uuid.uuid4().hex[:3]}"


def bind_driver_port(config: Config) -> list[socket.socket]:
    raise_file_limit()
    try:
        return bind(config.driver_addresses, config.port(config.driver_port))
    except BindError as error:
        raise StartError(str(error)) from error


def raise_file_limit() -> None:
    """A connection is a file; the usual limit of 1,024 is a default, not a wish."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def announce_ports(config: Config, sockets: list[socket.socket]) -> None:
    notice("Listening for client driver connections on port %d", sockets[0].getsockname()[1])
    notice("Administrative HTTP connections are disabled.")
    notice("Listening on driver addresses: %s", addresses_of(sockets))
    if not config.exposed:
        notice(
            "To fully expose Rethought on the network, bind to all addresses by running rethought "
            "with the `--bind all` command line option."
        )


def driver_tls(config: Config) -> "SSLContext | None":
    if config.driver_tls_cert is None or config.driver_tls_key is None:
        return None
    try:
        return make_context(
            certificate=config.driver_tls_cert,
            key=config.driver_tls_key,
            authority=config.driver_tls_ca,
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


def build_engine(
    catalog: "Catalog", config: Config, loop: asyncio.AbstractEventLoop, port: int
) -> Any:
    from rethought.reql.engine import Engine
    from rethought.system import Node, install, kill_query, running_queries

    engine = Engine(catalog=catalog, limits=config.limits, loop=loop)
    node = Node(
        hostname=socket.gethostname(),
        driver_port=port,
        cache_mb=lambda: cache_megabytes(config, catalog.group),
        queries=lambda asking: running_queries(engine, asking),
        kill=lambda id_, message: kill_query(engine, id_, message),
    )
    install(catalog, node, loop)
    return engine


def open_audit(engine: Any, catalog: "Catalog", config: Config) -> None:
    from rethought.system.audit import Audit

    if config.audit_log is None:
        return
    try:
        engine.keep_audit(Audit(config.audit_log, catalog, data=config.audit_data))
    except OSError as error:
        raise StartError(f"Could not open the audit log: {error}") from error


def close_engine(engine: Any) -> None:
    if engine is not None and engine.audit is not None:
        engine.audit.close()
    close = getattr(engine, "close", None)
    if close is not None:
        close()
