"""The stream of the pool's predictions, which goes on behind its last whole line where the connection broke."""

from __future__ import annotations

import json
from collections.abc import Iterator

from client.errors import Unreachable
from client.transport import OnProgress, Transport

#: So often in a row a stream may break without a single further line before it is given up.
MOST_BREAKS = 3
_TOLD_EVERY = 5_000


def pool_prediction_lines(
    transport: Transport,
    path: str,
    *,
    format: str = "jsonl",
    version: int | None = None,
    raw: bool = False,
    told: OnProgress | None = None,
) -> Iterator[bytes]:
    """The lines of ``path``, each with its end. JSON lines go on after a break, with the student that they began with.

    Raises ProblemError, and Unreachable where the server cannot be reached any more (CSV: at the first break).
    """
    last: bytes | None = None
    seen = breaks = 0
    while True:
        after = None if last is None else json.loads(last)["item"]
        params = {"format": format, "version": version, "after": after, "raw": raw or None}
        try:
            with transport.stream(path, params=params) as answer:
                total = int(answer.headers["winnow-items"])
                version = int(answer.headers["winnow-version"])
                for line in _whole_lines(answer.iter_bytes()):
                    yield line
                    last, breaks, seen = line, 0, seen + 1
                    if told is not None and seen % _TOLD_EVERY == 0:
                        told(seen, total)
            return
        except Unreachable:
            breaks += 1
            if format != "jsonl" or breaks >= MOST_BREAKS:
                raise


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that have come with their end; what is cut off is given only where the stream ended as it should."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
