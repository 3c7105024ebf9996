"""Who teaches the student in a round: the head that ranks, another member, or an average of several, and why.

The head goes on ranking, and label-efficiency is judged by it; what is chosen here gives the soft labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.recipe import Recipe
from worker.round_data import Arrays, Checkpoints, FloatArray, IntArray, RoundData

if TYPE_CHECKING:
    from models.members import TeacherMember
    from models.prototypes import NamePrototypes
    from models.stack import CompositeTeacher, TeacherChoice
    from models.teachers import LogisticTeacher

log = structlog.get_logger(__name__)

KEPT = "composite"
"""The array, beside the head's, that the next round finds the choice in: JSON as bytes."""
REGISTERED = "sklearn:"
_REGROWTH = 1.3
_CHUNK_ROWS = 8_192
_SEEDS = {"prototypes": 1, "lexical": 2}


@dataclass(frozen=True)
class Taught:
    """What teaches, and what is said of it.

    Attributes:
        composite: Gives the soft labels.
        kept: JSON that the next round goes on from.
    """

    composite: CompositeTeacher
    kept: dict[str, Any]

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Soft labels of rows of the pool, (len(rows), n_classes)."""
        return self.composite.predict_proba(rows)

    @property
    def metrics(self) -> dict[str, Any]:
        """``teacher_kind``, ``teacher_members``, ``teacher_stack``, ``teacher_chosen_at`` and ``teacher_why``."""
        choice = self.composite.choice
        said = choice.to_dict()
        return {
            "teacher_kind": choice.kind,
            "teacher_members": list(said["members"]),
            "teacher_stack": said["stacked"],
            "teacher_chosen_at": self.kept["chosen_at"],
            "teacher_why": choice.why,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What to keep beside the head's arrays."""
        return {KEPT: np.frombuffer(json.dumps(self.kept).encode(), dtype=np.uint8)}


class TeachingStep:
    """Chooses and trains what teaches. ``data`` holds settled labels."""

    def __init__(self, data: RoundData, recipe: Recipe, previous: Arrays | None, head: LogisticTeacher, seed: int):
        self._data, self._recipe, self._head, self._seed = data, recipe, head, seed
        self._previous = _kept_in(previous)

    def run(self, checkpoints: Checkpoints) -> Taught:
        """Go on from what an earlier attempt of this round chose, or from the last round's choice, or choose anew.

        Raises:
            ModelError: An item that cannot be read, or a kept choice that is damaged.
        """
        from models.errors import UnusableClassifier

        if self._recipe.teacher == "logistic":
            return self._head_alone("the settings say so")
        saved = _kept_in(checkpoints.load(KEPT))
        try:
            taught = self._chosen(saved or (self._previous if self._stands() else None))
            taught.composite.fit()
        except UnusableClassifier as error:
            # Labeling goes on, and so do rounds: the head teaches, and everybody can read why.
            log.warning("round.teacher_failed", teacher=self._recipe.teacher, reason=error.detail)
            taught = self._head_alone(f"{error.detail} Until then the head teaches")
        if saved is None and taught.kept["chosen_at"]:
            checkpoints.save(KEPT, taught.arrays())
        return taught

    def _chosen(self, kept: Mapping[str, Any] | None) -> Taught:
        from models.stack import CompositeTeacher, TeacherChoice, choose_teacher

        asked = self._recipe.teacher
        members = self.members(kept["settings"] if kept else {})
        names = [member.name for member in members]
        if asked not in ("auto", "stacked", *names):
            unread = "the encoder cannot read the names of the classes" if self._is_text else "it reads texts only"
            return self._head_alone(f"{asked} was asked for, but {unread}: the head teaches")
        if len(members) == 1:
            return self._head_alone("the head is the only teacher for these items")
        if kept and set(kept["choice"]["weights"]) <= set(names):
            choice, chosen_at = TeacherChoice.from_dict(kept["choice"]), int(kept["chosen_at"])
        else:
            choice, chosen_at = choose_teacher(members, self._data.y, self.folds(), asked=asked), len(self._data.y)
        composite = CompositeTeacher(members, choice)
        settings = {name: list(one.settings) for name, one in composite.members.items() if hasattr(one, "settings")}
        return Taught(composite, self._kept(choice, chosen_at, settings))

    @property
    def _is_text(self) -> bool:
        return self._data.task == "text"

    def _head_alone(self, why: str) -> Taught:
        from models.stack import CompositeTeacher, TeacherChoice

        choice = TeacherChoice(why=why)
        return Taught(CompositeTeacher([self._head_member()], choice), self._kept(choice, 0, {}))

    def _kept(self, choice: TeacherChoice, chosen_at: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "asked": self._recipe.teacher,
            "classifier": self._recipe.classifier,
            "choice": choice.to_dict(),
            "chosen_at": chosen_at,
            "settings": dict(settings),
        }

    def _stands(self) -> bool:
        """Whether the last round's choice still does: the same was asked for, and labels have not grown by 30 %."""
        kept = self._previous
        if kept is None or not kept["chosen_at"]:
            return False
        if (kept["asked"], kept["classifier"]) != (self._recipe.teacher, self._recipe.classifier):
            return False
        return bool(len(self._data.y) < _REGROWTH * kept["chosen_at"])

    def folds(self) -> IntArray:
        """Which fold each labelled row is tested in, (l,); -1 is never."""
        from models.cross_fit import bounded_folds
        from models.regularisation import deal_folds

        data = self._data
        folds = deal_folds(data.y, data.exploration, np.random.default_rng([self._seed, 0]))
        return bounded_folds(folds, len(data.y) * data.features.shape[1] * len(self._head.seen))

    # --- members ---------------------------------------------------------------------------------------------------

    def members(self, settings: Mapping[str, Sequence[float]]) -> list[TeacherMember]:
        """Those to choose from, the head first: of those as good as the best the first is taken.

        Args:
            settings: What each chose for itself before, by name; without it a member chooses when it is needed.
        """
        asked = self._recipe.teacher
        members: list[TeacherMember] = [self._head_member()]
        if asked.startswith(REGISTERED):
            return [*members, self._registered(settings)]
        if not self._is_text:
            return members
        if asked in ("auto", "stacked", "prototypes"):
            names = name_prototypes(self._data)
            members += [] if names is None else [self._prototypes(names, settings)]
        if asked in ("auto", "stacked", "lexical"):
            members.append(self._lexical(settings))
        return members

    def _head_member(self) -> TeacherMember:
        from models.head_member import HeadMember

        data = self._data
        return HeadMember(self._head, data.views[self._head.view], data.labeled_rows, data.y)

    def _prototypes(self, names: NamePrototypes, settings: Mapping[str, Sequence[float]]) -> TeacherMember:
        from models.prototypes import PrototypeMember

        data = self._data
        weight_and_temperature = settings.get("prototypes")
        return PrototypeMember(
            names,
            data.views[self._head.view],
            data.labeled_rows,
            data.y,
            data.exploration,
            rng=self._rng("prototypes"),
            settings=None if weight_and_temperature is None else (weight_and_temperature[0], weight_and_temperature[1]),
        )

    def _lexical(self, settings: Mapping[str, Sequence[float]]) -> TeacherMember:
        from models.lexical import LexicalMember

        data = self._data
        C_and_temperature = settings.get("lexical")
        return LexicalMember(
            texts_of(data),
            data.labeled_rows,
            data.y,
            data.n_classes,
            data.exploration,
            rng=self._rng("lexical"),
            settings=None if C_and_temperature is None else (C_and_temperature[0], C_and_temperature[1]),
        )

    def _registered(self, settings: Mapping[str, Sequence[float]]) -> TeacherMember:
        from models.errors import UnusableClassifier
        from models.registered import RegisteredMember
        from worker.classifiers import make_build

        name, entry, data = self._recipe.teacher, self._recipe.classifier, self._data
        if entry is None:
            raise UnusableClassifier(name, "it is not registered")
        temperature = settings.get(name)
        return RegisteredMember(
            name,
            make_build(name, entry),
            data.views[self._head.view],
            (self._head.center, self._head.scale),
            data.labeled_rows,
            data.y,
            data.n_classes,
            data.exploration,
            seed=self._seed % (1 << 31),
            settings=None if temperature is None else (temperature[0],),
        )

    def _rng(self, member: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, _SEEDS[member]])


def texts_of(data: RoundData) -> Any:
    """Rows of a project of texts to their texts."""
    return lambda rows: [item if isinstance(item, str) else "" for item in data.raw(rows)]


def name_prototypes(data: RoundData) -> NamePrototypes | None:
    """Where the names of the classes lie among the items; None where no encoder can say, or it can read none."""
    from models.prototypes import NamePrototypes

    phrases = data.class_phrases() if data.class_phrases is not None and len(data.features) else None
    names = None if phrases is None else NamePrototypes(data.features, phrases)
    return names if names is not None and names.readable.any() else None


def zero_shot(data: RoundData, recipe: Recipe, rows: IntArray) -> FloatArray | None:
    """What the names of the classes alone say of rows, (len(rows), n_classes), where the recipe teaches by them."""
    names = name_prototypes(data) if recipe.teacher == "prototypes" and data.task == "text" else None
    if names is None:
        return None
    features = list(data.views.values())[-1]
    out = np.empty((len(rows), data.n_classes), dtype=np.float32)
    for start in range(0, len(rows), _CHUNK_ROWS):  # a memory-mapped pool is never copied whole
        some = slice(start, start + _CHUNK_ROWS)
        out[some] = names.zero_shot(features[rows[some]])
    return out


def _kept_in(arrays: Arrays | None) -> dict[str, Any] | None:
    if arrays is None or KEPT not in arrays:
        return None
    kept: dict[str, Any] = json.loads(np.asarray(arrays[KEPT], dtype=np.uint8).tobytes())
    return kept
