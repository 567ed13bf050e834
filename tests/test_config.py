"""Settings: where they come from, which wins, and what is wrong with them."""

from pathlib import Path

import pytest

from rethought.config import ConfigError, load


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('driver-port = 1\nserver_name = "file"\ncache-size = 64\nbind = "all"\n')
    environment = {"RETHOUGHT_DRIVER_PORT": "2", "RETHOUGHT_SERVER_TAG": "x, y"}
    config = load({"driver_port": 3}, environment, file)
    assert (config.driver_port, config.server_name, config.cache_size) == (3, "file", "64")
    assert load({}, environment, file).driver_port == 2
    assert load({}, {"RETHOUGHT_CONFIG_FILE": str(file)}).driver_port == 1
    assert (config.server_tag, config.bind) == (["x", "y"], ["all"])


def test_limits_are_a_table_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[limits]\nconnections-max = 7\nhandshake_seconds = 1.5\n")
    limits = load({}, {}, file).limits
    assert (limits.connections_max, limits.handshake_seconds) == (7, 1.5)


def test_a_limit_can_be_given_everywhere_and_the_nearest_counts(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[limits]\narray-limit = 1\ncursors_max = 1\nqueries_max = 1\n")
    environment = {"RETHOUGHT_LIMIT_ARRAY_LIMIT": "2", "RETHOUGHT_LIMIT_CURSORS_MAX": "2"}
    given = {"limit": ["array_limit=3", "query-seconds = 0.5"]}
    limits = load(given, environment, file).limits
    assert (limits.array_limit, limits.cursors_max, limits.queries_max) == (3, 2, 1)
    assert limits.query_seconds == 0.5


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("array_limit", "A limit is given as name=value, got 'array_limit'"),
        ("array_limit=0", "The limit array_limit should be more than 0, got 0"),
        ("query_seconds=-1", "The limit query_seconds should be not negative, got -1.0"),
        ("refused_share=2", "The limit refused_share should be at most 1, got 2.0"),
        ("cursors_max=many", "cursors_max"),
        ("primary_key_chars=5", "primary_key_chars"),
    ],
)
def test_mistakes_in_limits_are_named(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load({"limit": [setting]}, {})
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("driver-port = ", "server.toml"),
        ("drive-port = 1", "drive-port"),
        ('driver-port = "x"', "driver-port"),
        ("[limits]\nfoo = 1", "foo"),
        ('log-format = "xml"', "log-format should be 'text' or 'json', got 'xml'"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load({}, {}, file)
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"driver_tls_key": "k"},
            "--driver-tls-key and --driver-tls-cert must be specified together.",
        ),
        (
            {"driver_tls_ca": "c"},
            "--driver-tls-key and --driver-tls-cert must be specified if --driver-tls-ca is "
            "specified.",
        ),
        (
            {"http_tls_cert": "c"},
            "--http-tls-key and --http-tls-cert must be specified together.",
        ),
        ({"tls_min_protocol": "SSLv3"}, "Unrecognized TLS protocol version 'SSLv3'."),
        ({"initial_password": "a", "initial_password_file": "b"}, "Only one of"),
    ],
)
def test_settings_that_do_not_fit_together(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(given, {})
    assert complaint in str(raised.value)


def test_loopback_is_listened_on_unless_told_otherwise() -> None:
    assert load({}, {}).driver_addresses == ["127.0.0.1", "::1"]
    assert load({"bind": ["10.0.0.1"]}, {}).driver_addresses == ["127.0.0.1", "::1", "10.0.0.1"]
    only = load({"bind_driver": ["10.0.0.1"], "no_default_bind": True}, {})
    assert only.driver_addresses == ["10.0.0.1"]
