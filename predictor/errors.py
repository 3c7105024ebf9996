"""What can be wrong with a bundle, or with an item that it is to predict."""

from __future__ import annotations


class BundleError(Exception):
    """The folder is not a whole bundle; the message says what is wrong with it and what to do."""


class ItemError(ValueError):
    """One item cannot be used; ``index`` is its place in what was handed in."""

    def __init__(self, index: int, reason: str):
        super().__init__(f"item {index}: {reason}")
        self.index = index
        self.reason = reason
