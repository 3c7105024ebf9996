"""Students that are loaded for predictions: the last few that were used."""

from __future__ import annotations

import logging
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from winnow.attempt_files import local_folder
from winnow.errors import Unavailable
from winnow.storage import Storage

if TYPE_CHECKING:
    from predictor import Predictor

MOST_LOADED = 3
_log = logging.getLogger(__name__)


class Predictors:
    """Loads serving folders, and keeps the ``most`` that were used last. For use from many threads."""

    def __init__(self, most: int = MOST_LOADED) -> None:
        self._most = most
        self._loaded: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self._lock = Lock()

    def get(self, storage: Storage, path: str) -> Predictor:
        """The predictor of the serving folder at ``path``.

        Raises:
            Unavailable: its files are missing or damaged; the log says which.
        """
        key = (storage.url, path)
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
        from predictor import BundleError, load  # onnxruntime: only processes that predict need it

        try:
            with local_folder(storage, path) as folder:
                made = load(folder)
        except (BundleError, OSError) as error:
            _log.error("The student at %s cannot be loaded: %s", path, error)
            raise Unavailable(
                "The files of this student cannot be loaded: they are missing or damaged. "
                "Ask for another version, or start a round, which trains a new one."
            ) from error
        with self._lock:
            self._loaded[key] = made
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
        return made


predictors = Predictors()
