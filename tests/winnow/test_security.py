"""Secrets."""

from __future__ import annotations

import re

import pytest

from winnow import security


def test_a_password_is_hashed_with_argon2id_and_its_own_salt() -> None:
    one, two = security.hash_password("hunter22"), security.hash_password("hunter22")
    assert one.startswith("$argon2id$")
    assert one != two
    assert security.verify_password(one, "hunter22")
    assert not security.verify_password(one, "hunter23")


@pytest.mark.parametrize("hashed", ["", "!", "$argon2id$broken", "hunter22"])
def test_nothing_fits_a_hash_that_is_none(hashed: str) -> None:
    assert not security.verify_password(hashed, "hunter22")


def test_secrets_are_long_prefixed_and_never_the_same() -> None:
    secrets = {security.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"wn_[\w-]{43}", secret) for secret in secrets)


def test_a_secret_is_stored_as_its_sha256() -> None:
    assert security.hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(security.hash_secret("\ud800")) == 64


def test_a_generated_password_can_be_read_aloud() -> None:
    assert all(
        re.fullmatch(r"([2-9a-km-zA-HJ-NP-Z]{5}-){3}[2-9a-km-zA-HJ-NP-Z]{5}", security.new_password())
        for _ in range(50)
    )
