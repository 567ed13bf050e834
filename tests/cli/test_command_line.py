"""The command line: options, help and mistakes. Nothing here starts a server."""

from importlib import import_module

import pytest

from rethought import server
from rethought.cli import build_app, main
from rethought.config import Config


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, tuple[str, ...]]]:
    """What `serve` would have run."""
    calls: list[tuple[Config, tuple[str, ...]]] = []
    monkeypatch.setattr(
        server,
        "run",
        lambda config, without_effect=(): calls.append((config, tuple(without_effect))),
    )
    return calls


def status(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_options_reach_the_configuration(
    started: list[tuple[Config, tuple[str, ...]]], tmp_path: object
) -> None:
    text = (
        f"serve -d {tmp_path}/data -n alpha -t one -t two --bind all -o 5 --driver-port 4000 "
        "--cache-size 128 --no-http-admin --log-format json"
    )
    with pytest.raises(SystemExit) as ended:
        main(text.split())
    assert not ended.value.code
    ((config, ignored),) = started
    assert str(config.directory) == f"{tmp_path}/data"
    assert (config.server_name, config.server_tag) == ("alpha", ["one", "two"])
    assert config.driver_addresses == ["all"]
    assert config.port(config.driver_port) == 4005
    assert (config.cache_size, config.no_http_admin, config.log_format) == ("128", True, "json")
    assert ignored == ()


def test_options_without_a_meaning_here_are_accepted_and_named(
    started: list[tuple[Config, tuple[str, ...]]],
) -> None:
    status(
        [
            "serve",
            "-c",
            "4",
            "--io-threads",
            "64",
            "--direct-io",
            "--no-update-check",
            "--cluster-port",
            "1",
        ]
    )
    assert started[0][1] == ("cores", "io_threads", "direct_io", "no_update_check", "cluster_port")


COMMANDS = [name for name in build_app() if not name.startswith("-")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"\n  rethought {command}" in shown[shown.index("Example") :]
    example: str = import_module(f"rethought.cli.{command.replace('-', '_')}").EXAMPLE
    assert max(map(len, example.splitlines())) <= 80  # a terminal breaks longer ones anywhere
    assert status(["help", command]) == 0
    assert f"rethought {command}" in capsys.readouterr().out
    assert {"serve", "status", "doctor", "rotate-key"} <= set(COMMANDS)


def test_the_version_has_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["-v"], ["version"]):
        assert status(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("rethought 0.")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "--foo"], "Unknown option"),
        (["serve", "--driver-port", "x"], "driver-port"),
        (["serve", "--cache-size", "x"], "cache-size should be a number or 'auto', got 'x'"),
        (
            ["serve", "-n", "a b"],
            "server-name 'a b' is invalid.  (Use A-Z, a-z, 0-9, _ and - only)",
        ),
        (["serve", "--driver-port", "65535", "-o", "1"], "0 to 65535"),
        (["serve", "--config-file", "/nowhere.toml"], "/nowhere.toml"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_mistake_ends_with_one_clear_error(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(arguments) == 1
    captured = capsys.readouterr()
    assert text in captured.out + captured.err
    assert "Traceback" not in captured.err
