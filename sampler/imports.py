"""Loading libraries of others without what they drag in, and calling those that draw from numpy's global state."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from sampler.errors import MissingExtra

_STATE = threading.Lock()


class _WithoutTorch(importlib.abc.MetaPathFinder):
    """Makes ``import torch`` fail in one thread, as if it were not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torch" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError("torch is hidden from this library", name="torch")
        return None


def load_without_torch(name: str, *, extra: str | None = None) -> ModuleType:
    """Import a module that looks for torch (390 MB) but works without it.

    Args:
        name: The module's full name; never taken from a request.
        extra: The extra of ours that brings it, where it is not one of our dependencies.

    Raises:
        MissingExtra: It is not installed.
    """
    finder = _WithoutTorch()
    sys.meta_path.insert(0, finder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their deprecations are not for our users to read
            return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        top = name.partition(".")[0]
        if extra is None or problem.name is None or problem.name.partition(".")[0] != top:
            raise
        raise MissingExtra(top, extra) from None
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def call_of_peer(seed: int) -> Iterator[None]:
    """For code of others that has no other seed: numpy's global state is seeded inside and put back afterwards.

    Their warnings (a default that changed, a fit that did not converge) are not for our users and are not shown. One
    caller at a time. What else draws from the global state in another thread meanwhile is not protected: nothing
    of ours does.
    """
    with _STATE:
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed % (1 << 32))  # noqa: NPY002
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
