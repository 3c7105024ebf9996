"""What text encoders cost side by side: texts a second at one and two threads, alone and in batches, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.compression.compact import Compact
    from models.compression.material import EncoderState

Run = Callable[[Sequence[str]], Any]
Make = Callable[[int], Run]
"""A loaded encoder that uses so many threads."""

THREADS, BATCHES = (1, 2), (1, 64)
_ALONE = 12
REPEAT = 3


def setting_name(threads: int, batch: int) -> str:
    """How a setting is called in reports."""
    return f"{threads} thread{'s' if threads > 1 else ''}, batch {batch}"


def race(
    makes: Mapping[str, Make], texts: Sequence[str], *, threads: Sequence[int] = THREADS, repeat: int = REPEAT
) -> dict[str, dict[str, float]]:
    """Texts a second of each encoder in each setting; the best of several turns, in which they alternate.

    So that load from elsewhere, which comes and goes, falls on all of them alike. One thread is timed by the seconds of
    CPU that it takes, which other programs hardly lengthen; two by the clock on the wall.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in makes}
    for n in threads:
        runs = {name: make(n) for name, make in makes.items()}
        for run in runs.values():
            run(texts[:2])  # what is made once is made
        clock = time.process_time if n == 1 else time.perf_counter
        for batch in BATCHES:
            groups = [[text] for text in texts[:_ALONE]] if batch == 1 else [list(texts[:batch])]
            n_texts = sum(map(len, groups))
            for _ in range(repeat):
                for name, run in runs.items():
                    began = clock()
                    for group in groups:
                        run(group)
                    speed = n_texts / max(clock() - began, 1e-9)
                    known = found[name].get(setting_name(n, batch), 0.0)
                    found[name][setting_name(n, batch)] = max(known, speed)
    return found


def compact_runner(compact: Compact) -> Make:
    """An encoder in the form that is handed out."""
    return lambda threads: compact.network(threads).run


def torch_runner(state: EncoderState) -> Make:
    """The same in torch, fp32: what the others are compared with."""
    from models.compression.compact import text_pieces
    from models.compression.network import EncoderNetwork, embed
    from models.threads import torch_threads

    network = EncoderNetwork(state.weights)

    def make(threads: int) -> Run:
        def run(texts: Sequence[str]) -> Any:
            with torch_threads(threads):
                return embed(network, text_pieces(state.tokenizer, texts))

        return run

    return make


def memory_mb(make: Make, texts: Sequence[str]) -> float | None:
    """Peak memory of loading an encoder and encoding some texts; None where the kernel does not tell it."""
    from bench.memory import cost_of

    try:
        return round(cost_of(lambda: make(1)(texts), repeat=0, limit=0.0).extra_mb, 1)
    except OSError:
        return None
