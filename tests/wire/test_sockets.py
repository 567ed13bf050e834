"""Binding: one port on every address, or nothing at all."""

import socket

import pytest

from rethought.wire.sockets import BindError, addresses_of, bind


def test_a_chosen_port_is_the_same_on_every_address() -> None:
    sockets = bind(["127.0.0.1", "127.0.0.2"], 0)
    ports = {sock.getsockname()[1] for sock in sockets}
    text = addresses_of(sockets)
    for sock in sockets:
        sock.close()
    assert len(ports) == 1
    assert text == "127.0.0.1, 127.0.0.2"


def test_a_port_in_use_is_named_and_nothing_stays_bound() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.3", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"TCP socket creation failed for port {port}: Address already in use."
        with pytest.raises(BindError, match=text):
            bind(["127.0.0.2", "127.0.0.3"], port)
        for sock in bind(["127.0.0.2"], port):
            sock.close()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("nonsense", r"bind ip address 'nonsense' could not be parsed: .*"),
        ("203.0.113.7", r"Could not find bind ip address '203\.0\.113\.7'"),
    ],
)
def test_addresses_that_cannot_be_bound_are_explained(address: str, text: str) -> None:
    with pytest.raises(BindError, match=text):
        bind([address], 0)


def test_all_means_every_address_of_the_machine() -> None:
    sockets = bind(["all"], 0)
    text = addresses_of(sockets)
    for sock in sockets:
        sock.close()
    assert text.startswith("0.0.0.0")
