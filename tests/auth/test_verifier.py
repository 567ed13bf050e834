"""Verifiers: they let in who knows the password, and hold nothing that could stand in for it."""

import hashlib
import hmac

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.auth.verifier import (
    Verifier,
    check_password,
    client_key,
    decoy_verifier,
    make_verifier,
    proof_matches,
    salted_password,
)

passwords = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


@settings(max_examples=20)
@given(passwords, passwords)
def test_only_the_right_password_is_accepted(password: str, other: str) -> None:
    verifier = make_verifier(password, 2)
    assert check_password(verifier, password)
    assert check_password(verifier, other) is (password == other)


@settings(max_examples=20)
@given(passwords, st.binary())
def test_a_proof_made_with_the_password_matches_its_message_only(
    password: str, message: bytes
) -> None:
    verifier = make_verifier(password, 2)
    key = client_key(salted_password(password, verifier.salt, verifier.iterations))
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    assert proof_matches(verifier, message, proof)
    assert not proof_matches(verifier, message + b"x", proof)
    assert not proof_matches(verifier, message, proof[:-1])
    assert not proof_matches(verifier, message, verifier.stored_key)


def test_a_verifier_survives_being_stored() -> None:
    verifier = make_verifier("secret")
    assert msgspec.json.decode(msgspec.json.encode(verifier), type=Verifier) == verifier
    assert (verifier.iterations, verifier.empty) == (4096, False)
    assert (make_verifier("").iterations, make_verifier("").empty) == (1, True)


def test_an_unknown_user_looks_the_same_every_time() -> None:
    assert decoy_verifier(b"key", "ann", [4096]) == decoy_verifier(b"key", "ann", [4096])
    ann, bob = (decoy_verifier(b"key", name, [4096]) for name in ("ann", "bob"))
    assert ann.salt != bob.salt


def test_users_that_do_not_exist_have_the_iterations_that_users_have() -> None:
    names = [f"user{number}" for number in range(200)]

    def counts(*of: int) -> list[int]:
        return [decoy_verifier(b"key", name, of).iterations for name in names]

    before, after = counts(4096, 10_000), counts(10_000, 4096, 20_000)
    assert set(before) == {4096, 10_000}
    assert set(after) == {4096, 10_000, 20_000}
    # Nobody changes between old counts because a new one came.
    assert all(new in (old, 20_000) for old, new in zip(before, after, strict=True))
