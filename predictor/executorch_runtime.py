"""A student run by ExecuTorch, from model.pte."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import TextIOWrapper
from threading import Lock
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from predictor.errors import BundleError
from predictor.ports import Port

_PTE_MARK, _PTE_HEADER, _PTE_HEADER_BYTES = b"ET12", b"eh00", 32
_PTE_TYPES = {4: "tensor(int64)", 6: "tensor(float)"}
_PTE_LINE = re.compile(r"\[\w+\.(cpp|h):\d+\]")
_PTE_CHATTER = re.compile(r"cpuinfo|threadpool")
_PTE_LOADING = Lock()
_pte_threads: list[int] = []  # of the pool that all programs of a process share, once it is made


class ExecuTorchSession:
    """A program, which one thread uses at a time. What is larger than it was planned for is run in parts."""

    def __init__(self, model: bytes, threads: int):
        """Read it; raises BundleError where ExecuTorch is missing or refuses it.

        The first one of a process decides on the threads of all: they share a pool that must not change in use.
        """
        _check_pte(model)
        self._lock, self._model = Lock(), model  # the program reads its weights where they lie
        with _PTE_LOADING, _hushed() as said:
            try:
                self._torch, library = _import_executorch()
            except ImportError as error:
                raise BundleError("This bundle is run by ExecuTorch: pip install -r requirements.txt") from error
            try:
                if not _pte_threads:
                    library._unsafe_reset_threadpool(threads)
                    _pte_threads.append(threads)
                kind = library.Verification.InternalConsistency
                program = library._load_program_from_buffer(model, program_verification=kind)
                about = program.method_meta("forward")
                self._given, self._told = about.input_tensor_meta(0), about.output_tensor_meta(0)
                self._most = tuple(int(side) for side in self._given.sizes())
                self._type = _PTE_TYPES.get(self._given.dtype(), str(self._given.dtype()))
                self._outputs = [int(side) for side in self._told.sizes()]
                self._program, self._method = program, program.load_method("forward")
            except Exception as error:  # its exceptions have no common base but this
                raise BundleError(f"model.pte cannot be loaded by ExecuTorch: {said() or error}") from error

    def get_inputs(self) -> Sequence[Port]:
        """One: rows of a table, pixels or features."""
        sides: list[int | str] = ["items", *self._most[1:]]
        return [Port("input", ["items", "ids"] if self._reads_ids() else sides, self._type)]

    def get_outputs(self) -> Sequence[Port]:
        """One: the probabilities."""
        return [Port("probabilities", ["items", *self._outputs[1:]], "tensor(float)")]

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Probabilities, float32 (n, classes)."""
        batch = feed["input"]
        if self._reads_ids():
            batch = fewer_ids(batch, self._most[1])
        most = max(1, self._most[0])
        with self._lock:
            parts = [self._answer(batch[begin : begin + most]) for begin in range(0, len(batch), most)]
        return [parts[0] if len(parts) == 1 else np.concatenate(parts)]

    def _answer(self, part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        given = self._torch.from_numpy(np.require(part, requirements=["C", "W"]))
        answer: npt.NDArray[np.float32] = self._method([given])[0].numpy()
        return answer

    def _reads_ids(self) -> bool:
        return self._type == "tensor(int64)" and len(self._most) == 2


def fewer_ids(ids: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` ids of each text (b, longest): where it has more, evenly spread ones, of about the same mean."""
    if ids.shape[1] <= most:
        return ids
    kept = ids[:, :most].copy()
    for row, count in enumerate((ids > 0).sum(1)):
        if count > most:
            kept[row] = ids[row, np.arange(most) * count // most]
    return kept


def _check_pte(model: bytes) -> None:
    """Refuse what is cut off, or no program: its header says how long its two parts are."""
    length = int.from_bytes(model[12:16], "little")
    program, weights, n_weights = (int.from_bytes(model[at : at + 8], "little") for at in (16, 24, 32))
    marked = model[4:8] == _PTE_MARK and model[8:12] == _PTE_HEADER and length >= _PTE_HEADER_BYTES
    inside = _PTE_HEADER_BYTES < program <= len(model) and program <= weights <= weights + n_weights <= len(model)
    if not marked or not inside:
        raise BundleError("model.pte cannot be loaded: it is cut off, or no ExecuTorch program.")


def _import_executorch() -> tuple[Any, Any]:
    """Torch and the library itself; raises ImportError.

    The package's own front door loads its exporter too: two thousand modules, and several seconds.
    """
    import torch
    from executorch.extension.pybindings import _C

    return torch, _C


@contextmanager
def _hushed() -> Iterator[Any]:
    """Keep what the library writes to stderr, part of it past Python, and give its first complaint when asked.

    It tells each process of the CPU's files that it could not read. What anybody else writes meanwhile comes late.
    """
    with tempfile.TemporaryFile(buffering=0) as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def lines() -> list[str]:
            kept.seek(0)
            return kept.read(1 << 16).decode("utf-8", "replace").splitlines(keepends=True)

        def said() -> str:
            own = [line.strip() for line in lines() if _PTE_LINE.match(line)]
            return next((line.partition("] ")[2] for line in own if not _PTE_CHATTER.search(line)), "")

        words = TextIOWrapper(cast(BinaryIO, kept), write_through=True)
        try:
            with redirect_stderr(words):
                yield said
        finally:
            words.detach()  # or it would close what it writes to
            os.dup2(before, 2)
            os.close(before)
            for line in lines():
                if not _PTE_LINE.match(line):
                    sys.stderr.write(line)
