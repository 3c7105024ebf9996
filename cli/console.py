"""What a command writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from typing import Any

_BAR = 30
_REDRAW_SECONDS = 0.1


def emit_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def emit(text: str) -> None:
    """Print a result on stdout."""
    print(text, flush=True)


def say(text: str) -> None:
    """Tell the person at the terminal something that is not the result; nothing happens if nobody is there any more."""
    with suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def quiet_logs() -> None:
    """Keep what the service writes to its log off the terminal: the command itself says what went wrong."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out ``rows`` under ``header``; the first column is left-aligned, the others right-aligned."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


class Progress:
    """A progress bar on stderr: redrawn in place on a terminal, one line for each new message elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._message = ""
        self._drawn_at = 0.0

    def update(self, fraction: float, message: str) -> None:
        """Show that ``fraction`` (0 to 1) is done and what is going on."""
        now = time.monotonic()
        news = message != self._message
        if self._terminal and (news or fraction >= 1 or now - self._drawn_at >= _REDRAW_SECONDS):
            filled = round(_BAR * min(max(fraction, 0.0), 1.0))
            bar = "█" * filled + "░" * (_BAR - filled)
            sys.stderr.write(f"\r\x1b[K{bar} {fraction:4.0%}  {message}")
            sys.stderr.flush()
            self._drawn_at = now
        elif not self._terminal and news:
            say(f"{fraction:4.0%}  {message}")
        self._message = message

    def close(self) -> None:
        """Take the bar away, so that what comes next starts on a clean line."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
