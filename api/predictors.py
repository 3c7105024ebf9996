"""Students that are loaded for predictions: the last few that were used."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from winnow.attempt_files import local_folder
from winnow.storage import Storage

if TYPE_CHECKING:
    from predictor import Predictor

MOST_LOADED = 3


class Predictors:
    """Loads serving folders, and keeps the ``most`` that were used last. For use from many threads."""

    def __init__(self, most: int = MOST_LOADED) -> None:
        self._most = most
        self._loaded: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self._lock = Lock()

    def get(self, storage: Storage, path: str) -> Predictor:
        """The predictor of the serving folder at ``path``."""
        key = (storage.url, path)
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
        from predictor import load  # onnxruntime: only processes that predict need it

        made = load(local_folder(storage, path))
        with self._lock:
            self._loaded[key] = made
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
        return made


predictors = Predictors()
