"""Secrets: how passwords and tokens are made, hashed and checked."""

from __future__ import annotations

import functools
import hashlib
import secrets
import threading

import argon2

# OWASP's second choice of parameters: 19 MiB and two passes, about 20 ms of one core. The gate keeps a burst of
# sign-ins from holding more than four times that memory.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_GATE = threading.BoundedSemaphore(4)

#: No l, I, O, 0 and 1: a generated password is read from a terminal and typed.
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def hash_password(password: str) -> str:
    """The Argon2id hash of ``password``, with its salt and parameters in it."""
    with _GATE:
        return _HASHER.hash(password)


def verify_password(hashed: str, password: str) -> bool:
    """Whether ``password`` is the one behind ``hashed``."""
    with _GATE:
        try:
            return _HASHER.verify(hashed, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def waste_a_verification(password: str) -> None:
    """Spend the time of one verification, so that an unknown e-mail answers as slowly as a known one."""
    verify_password(_decoy(), password)


def new_secret(prefix: str = "wn_") -> str:
    """A fresh token with 256 bits of randomness; the prefix lets secret scanners find a leaked one."""
    return prefix + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """The SHA-256 of a token in hexadecimal. A token is random, so a fast hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_password(groups: int = 4) -> str:
    """A generated password: groups of five letters and digits, about 117 bits by default."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(groups))


@functools.cache
def _decoy() -> str:
    """A well-formed hash of nothing in particular, with today's parameters."""
    return _HASHER.hash(secrets.token_hex(16))
