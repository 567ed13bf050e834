"""`rethought serve`: run a server in the foreground until a signal ends it."""

from typing import Final

from rethought.cli import options as o

EXAMPLE: Final = """\
Example: a server in ./data that other machines can reach, with a password

  rethought serve -d data --bind all --initial-password auto

Every option can be in the environment too (RETHOUGHT_DRIVER_PORT=28016) or in
a TOML file (--config-file server.toml with the line: driver-port = 28016).
Ctrl-C stops the server, a second one at once."""

WITHOUT_EFFECT: Final = (
    "cores",
    "io_threads",
    "direct_io",
    "no_direct_io",
    "no_update_check",
    "cluster_port",
    "bind_cluster",
    "web_static_directory",
    "cluster_reconnect_timeout",
)


def serve(
    *,
    directory: o.Directory = None,
    encryption_key_file: o.EncryptionKeyFile = None,
    cache_size: o.CacheSize = None,
    journal_hours: o.JournalHours = None,
    journal_size: o.JournalSize = None,
    scrub_days: o.ScrubDays = None,
    scrub_rate: o.ScrubRate = None,
    config_file: o.ConfigFile = None,
    server_name: o.ServerName = None,
    server_tag: o.ServerTag = None,
    initial_password: o.InitialPassword = None,
    initial_password_file: o.InitialPasswordFile = None,
    limit: o.Limit = None,
    pid_file: o.PidFile = None,
    bind: o.Bind = None,
    bind_driver: o.BindDriver = None,
    bind_http: o.BindHttp = None,
    no_default_bind: o.NoDefaultBind = None,
    driver_port: o.DriverPort = None,
    http_port: o.HttpPort = None,
    port_offset: o.PortOffset = None,
    no_http_admin: o.NoHttpAdmin = None,
    http_host: o.HttpHost = None,
    driver_tls_key: o.DriverTlsKey = None,
    driver_tls_cert: o.DriverTlsCert = None,
    driver_tls_ca: o.DriverTlsCa = None,
    driver_tls_user: o.DriverTlsUser = None,
    http_tls_key: o.HttpTlsKey = None,
    http_tls_cert: o.HttpTlsCert = None,
    tls_min_protocol: o.TlsMinProtocol = None,
    tls_ciphers: o.TlsCiphers = None,
    tls_ecdh_curve: o.TlsEcdhCurve = None,
    tls_dhparams: o.TlsDhparams = None,
    log_file: o.LogFile = None,
    log_format: o.LogFormat = None,
    slow_query_seconds: o.SlowQuerySeconds = None,
    audit_log: o.AuditLog = None,
    audit_data: o.AuditData = None,
    audit_size: o.AuditSize = None,
    audit_files: o.AuditFiles = None,
    cores: o.CoresWithoutEffect = None,
    io_threads: o.WithoutEffect = None,
    direct_io: o.FlagWithoutEffect = None,
    no_direct_io: o.FlagWithoutEffect = None,
    no_update_check: o.FlagWithoutEffect = None,
    cluster_port: o.WithoutEffect = None,
    bind_cluster: o.WithoutEffect = None,
    web_static_directory: o.WithoutEffect = None,
    cluster_reconnect_timeout: o.WithoutEffect = None,
) -> None:
    """Run a server. A data directory that does not exist is created."""
    settings = o.given(locals())
    ignored = [name for name in WITHOUT_EFFECT if settings.pop(name, None) is not None]
    settings.pop("config_file", None)

    from rethought import server
    from rethought.cli.hiding import hide_password
    from rethought.config import load

    if initial_password is not None:
        hide_password()

    config = load(settings, config_file=config_file)
    server.run(config, without_effect=ignored)
