"""`rethought create`: prepare a data directory without serving it."""

from typing import Final

from rethought.cli import options as o

EXAMPLE: Final = """\
Example: a directory for a server of that name, to be served later

  rethought create -d data --server-name alpha
  rethought serve -d data"""


def create(
    *,
    directory: o.Directory = None,
    encryption_key_file: o.EncryptionKeyFile = None,
    config_file: o.ConfigFile = None,
    server_name: o.ServerName = None,
    server_tag: o.ServerTag = None,
    initial_password: o.InitialPassword = None,
    initial_password_file: o.InitialPasswordFile = None,
    log_file: o.LogFile = None,
    log_format: o.LogFormat = None,
) -> None:
    """Prepare a new data directory and leave. Fails when there is one already."""
    settings = o.given(locals())
    settings.pop("config_file", None)

    from rethought import server
    from rethought.config import load

    server.create(load(settings, config_file=config_file))
