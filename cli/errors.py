"""What a command cannot do, said in one line."""

from __future__ import annotations


class CommandError(Exception):
    """A reason to end with exit code 1; the message is one line that says what to do."""
