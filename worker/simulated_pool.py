"""A labelled pool and a test set as rounds see them, where a file's labels are the oracle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from winnow.errors import Invalid
from winnow.intake import fold_text
from worker.dataset import Dataset
from worker.encoded_files import EncodedFiles, Progress, encoded_files, fitted_encoder
from worker.encoder_comparison import compare_encoders, comparison_is_due, other_encoder
from worker.round_data import FloatArray, IntArray, RawItem, RoundData
from worker.teaching import Taught

if TYPE_CHECKING:
    from models.encoder_choice import EncoderChoice
    from models.encoders import Encoder
    from models.teachers import LogisticTeacher
    from worker.simulate import SimulateOptions


@dataclass(frozen=True)
class Bench:
    """Encoded data. ``y`` is the oracle's: only bought rows of it are ever read. Test rows only score."""

    task: str
    encoder: str
    class_names: tuple[str, ...]
    features: FloatArray
    items: Sequence[RawItem]
    y: IntArray
    test_features: FloatArray
    test_items: Sequence[RawItem]
    test_y: IntArray
    spread: Mapping[str, FloatArray]
    test_spread: Mapping[str, FloatArray]
    groups: IntArray
    class_vectors: FloatArray | None = None
    class_phrases: FloatArray | None = None

    @classmethod
    def of(
        cls,
        pool: Dataset,
        test: Dataset,
        options: SimulateOptions,
        progress: Progress | None = None,
        *,
        encoded: tuple[FloatArray, FloatArray] | None = None,
        class_vectors: Mapping[str, FloatArray] | None = None,
        class_phrases: Mapping[str, FloatArray] | None = None,
    ) -> Bench:
        """Encode both files, or take the features that ``encoded`` has kept of them, and diffuse them.

        With ``encoded`` go ``class_vectors`` and ``class_phrases``: the name of each class, and its phrasings, by the
        same encoder, where that reads texts.

        Raises:
            Invalid: The files do not go together, or there is nothing to choose between.
        """
        _check(pool, test, options.encoder)
        if encoded is not None:
            names = _class_names(pool)
            vectors = None if class_vectors is None else np.stack([class_vectors[name] for name in names])
            phrases = None if class_phrases is None else np.stack([class_phrases[name] for name in names])
            return cls.with_features(pool, test, EncodedFiles(options.encoder, *encoded, vectors, phrases))
        if isinstance(pool.items, np.ndarray) and isinstance(test.items, np.ndarray):
            return cls.with_features(pool, test, EncodedFiles("none", pool.items, test.items))
        with tempfile.TemporaryDirectory(prefix="winnow-simulate-") as folder:
            encoder = fitted_encoder(options.encoder, pool, Path(folder))
            return cls.with_features(pool, test, encoded_files(encoder, pool, test, _class_names(pool), progress))

    @classmethod
    def with_features(cls, pool: Dataset, test: Dataset, encoded: EncodedFiles) -> Bench:
        """Both files with these features, which are diffused here."""
        names = _class_names(pool)
        index = {name: i for i, name in enumerate(names)}
        # A class that only the test file has gets an index that no model can answer with: such rows are never right.
        for name in sorted(set(test.labels) - set(names), key=_natural):
            index[name] = len(index)
        spread, test_spread = _spread(encoded.pool, encoded.test)
        return cls(
            task=pool.task,
            encoder=encoded.encoder,
            class_names=names,
            features=encoded.pool,
            items=list(pool.items),
            y=np.array([index[label] for label in pool.labels], dtype=np.int64),
            test_features=encoded.test,
            test_items=list(test.items),
            test_y=np.array([index[label] for label in test.labels], dtype=np.int64),
            spread=spread,
            test_spread=test_spread,
            groups=_groups(pool.items),
            class_vectors=encoded.class_vectors,
            class_phrases=encoded.class_phrases,
        )

    def without_diffusion(self) -> Bench:
        """The same with the features as they are."""
        return replace(self, spread={}, test_spread={})

    @property
    def n_classes(self) -> int:
        """How many classes the pool has."""
        return len(self.class_names)

    def full_pool(self) -> float:
        """Accuracy of the same teacher on all labels, raw features."""
        from models.teachers import LogisticTeacher

        uniform = np.ones(len(self.y), dtype=bool)
        teacher = LogisticTeacher.fit(
            self.features, self.y, self.n_classes, uniform, rng=np.random.default_rng(0), pool=self.features
        )
        return self.scores(teacher.predict_proba(self.test_features))[0]

    def scores(self, probabilities: FloatArray) -> tuple[float, float]:
        """Accuracy and macro-F1 on the test rows."""
        from models.evaluate import accuracy, macro_f1

        guesses = probabilities.argmax(axis=1)
        n_classes = max(self.n_classes, int(self.test_y.max()) + 1)
        return accuracy(self.test_y, guesses), macro_f1(self.test_y, guesses, n_classes)

    def data(self, bought: IntArray, answers: IntArray, drawn_uniformly: bool) -> RoundData:
        """A round's input: these rows have these answers, all others may be bought."""
        return RoundData(
            task=self.task,
            class_names=self.class_names,
            features=self.features,
            raw=lambda rows: [self.items[int(row)] for row in rows],
            labeled_rows=bought,
            y=answers,
            exploration=np.full(len(bought), drawn_uniformly),
            candidate_rows=np.setdiff1d(np.arange(len(self.y), dtype=np.int64), bought),
            spread=self.spread,
            groups=self.groups,
            class_vectors=self.class_vectors,
            class_phrases=lambda: self.class_phrases,
        )

    def test_probabilities(self, teacher: LogisticTeacher) -> FloatArray:
        """What a teacher thinks of the test rows, in its view of them."""
        return teacher.predict_proba(self.test_spread.get(teacher.view, self.test_features))

    def test_soft_labels(self, taught: Taught, head: LogisticTeacher) -> FloatArray:
        """What would be a student's soft labels of the test rows."""
        features = self.test_spread.get(head.view, self.test_features)
        texts = [item for item in self.test_items if isinstance(item, str)]
        return taught.composite.of_items(features, texts)


def _check(pool: Dataset, test: Dataset, encoder: str) -> None:
    """Refuse files that do not go together, and an encoder that has nothing to read."""
    if pool.task != test.task:
        raise Invalid("the pool and the test file must be of one kind: both .jsonl or both .npz")
    if len(_class_names(pool)) < 2:
        raise Invalid("the pool's labels name only one class: there is nothing to choose between")
    if isinstance(pool.items, np.ndarray) and isinstance(test.items, np.ndarray):
        if pool.items.shape[1] != test.items.shape[1]:
            raise Invalid(
                f"the pool has {pool.items.shape[1]} features a row, the test file {test.items.shape[1]}: "
                "they must be the same"
            )
        if encoder not in ("auto", "none"):
            raise Invalid(f"encoder: features are taken as they are; '{encoder}' cannot be applied")


def _class_names(pool: Dataset) -> tuple[str, ...]:
    return tuple(sorted(set(pool.labels), key=_natural))


def _spread(features: FloatArray, test_features: FloatArray) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Views of both files after the pool has spread over its graph; test rows are nobody's neighbours."""
    from models.teachers import column_scaling
    from sampler.auto_constants import LEAST_ROWS
    from sampler.diffusion import diffuse
    from worker.diffused import spread_views

    if len(features) < LEAST_ROWS:
        return {}, {}
    rows = np.arange(len(features), dtype=np.int64)
    scaling = column_scaling(features)
    pool = diffuse(features, rows, scaling=scaling)
    return (
        spread_views(features, pool.of_rows(rows).astype(np.float16), scaling),
        spread_views(test_features, pool.of_features(test_features).astype(np.float16), scaling),
    )


def _groups(items: Sequence[RawItem] | NDArray[np.float32]) -> IntArray:
    """For each item the first of its near-duplicates, as the service knows them: by its words, or its very features."""
    first: dict[str | bytes, int] = {}
    names = (fold_text(item) if isinstance(item, str) else np.asarray(item).tobytes() for item in items)
    return np.array([first.setdefault(name, row) for row, name in enumerate(names)], dtype=np.int64)


def _natural(label: str) -> tuple[int, int, str]:
    """Numbers in their order, then names in theirs."""
    return (0, int(label), "") if label.isdecimal() else (1, 0, label)


class Rivals:
    """The encoders between which ``auto`` chooses in a simulation, and the pool as each sees it.

    All runs share them. Of one that no run has taken only labelled texts are encoded.
    """

    def __init__(self, first: Bench, pool: Dataset, test: Dataset, cache: Path):
        """``first`` is what each run begins with; ``cache`` a folder that stays while this is used."""
        self._benches = {first.encoder: first}
        self._encoders: dict[str, Encoder] = {}
        self._pool, self._test, self._cache = pool, test, cache

    def bench(self, name: str) -> Bench:
        """The pool by an encoder, which encodes all of it when this is first asked for."""
        if name not in self._benches:
            encoder = self._encoder(name)
            encoded = encoded_files(encoder, self._pool, self._test, _class_names(self._pool))
            self._benches[name] = Bench.with_features(self._pool, self._test, encoded)
        return self._benches[name]

    def bench_beside(self, present: Bench, name: str) -> Bench:
        """The same, diffused where ``present`` is."""
        bench = self.bench(name)
        return bench if present.spread else bench.without_diffusion()

    def choice(
        self, data: RoundData, present: str, before: Sequence[Mapping[str, Any]], seed: int
    ) -> EncoderChoice | None:
        """What the labels of a round say of the encoders; None where no comparison is due.

        Args:
            data: The round, of features by ``present``.
            present: The encoder that is there.
            before: The choices of earlier rounds of the same run.
            seed: The run's.
        """
        n = len(data.y)
        compared_at = before[-1]["labels"] if before else None
        if not comparison_is_due(present, n, len(np.unique(data.y)), compared_at):
            return None
        names = (present, other_encoder(present))
        return compare_encoders(
            lambda places: {name: self._rows(name, data.labeled_rows[places]) for name in names},
            data.y,
            data.exploration,
            present=present,
            is_first=not before,
            rng=np.random.default_rng([seed, 0x0D, n]),
        )

    def _rows(self, name: str, rows: IntArray) -> FloatArray:
        if name in self._benches:
            return self._benches[name].features[rows].astype(np.float32)
        return self._encoder(name).encode([self._pool.items[row] for row in rows]).features

    def _encoder(self, name: str) -> Encoder:
        if name not in self._encoders:
            self._encoders[name] = fitted_encoder(name, self._pool, self._cache)
        return self._encoders[name]
