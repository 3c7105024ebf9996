"""The teacher of a round: the best of several members, or an average of them, by what they say of unseen labels.

Scores are log-losses of labelled rows by members that were not trained on them. The default wins unless another is
clearly better: by more than a standard error, paired by rows (breiman1984), and by 2 %. The average's weights lie on
the simplex and are those of the least log-loss (wolpert1992); it is judged by weights that were fitted without the fold
in question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.errors import BadInput, CorruptModel
from models.evaluate import log_losses
from models.members import FloatArray, IntArray, TeacherMember

STACKED = "stacked"
DEFAULT = "logistic"
MIN_TESTED = 20
"""With fewer labels to test on nothing is compared, and the head teaches."""
LEAST_WEIGHT = 0.02
"""A member with a smaller share of the average is left out of it: it costs what the others cost."""
LEAST_GAIN = 0.02
"""What is better by a smaller share of the log-loss does not pay for another model in each round."""
_STEPS = 300
_LOW, _HIGH = 0.5, 2.0  # a few dozen labels that are all right would make it as sure as can be

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class MemberScore:
    """What was found of a member: log-loss and accuracy on labels that it was not trained on, and its share now."""

    name: str
    log_loss: float | None
    accuracy: float | None
    weight: float


@dataclass(frozen=True)
class TeacherChoice:
    """Which members teach, with which shares, and why.

    Attributes:
        kind: Name of the one member, or ``stacked``.
        weights: Share of each member that teaches; they sum to 1.
        temperature: Of the average; 1 for one member.
        members: What was found of each that was compared.
        stacked: The same of the average; None where there was none.
        why: A sentence.
        tested: How many labels they were compared on; 0 where they were not.
    """

    kind: str = DEFAULT
    weights: Mapping[str, float] = field(default_factory=lambda: {DEFAULT: 1.0})
    temperature: float = 1.0
    members: tuple[MemberScore, ...] = ()
    stacked: MemberScore | None = None
    why: str = ""
    tested: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; `from_dict` gives it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> TeacherChoice:
        """The choice whose `to_dict` this is. Raises CorruptModel where something is missing."""
        try:
            return cls(
                kind=str(kept["kind"]),
                weights={str(name): float(share) for name, share in kept["weights"].items()},
                temperature=float(kept["temperature"]),
                members=tuple(MemberScore(**score) for score in kept["members"]),
                stacked=None if kept["stacked"] is None else MemberScore(**kept["stacked"]),
                why=str(kept["why"]),
                tested=int(kept["tested"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptModel("The kept choice of a teacher", f"it is not complete ({error})") from error


def simplex_weights(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The average of least log-loss: weights (members,), none negative, that sum to 1.

    Args:
        probabilities: What each member gives the true class of each row, (members, n), n ≥ 1.

    >>> simplex_weights(np.array([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])).round(3).tolist()
    [1.0, 0.0]
    >>> simplex_weights(np.array([[0.9, 0.1], [0.1, 0.9]])).round(3).tolist()
    [0.5, 0.5]
    """
    P = np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-12)
    weights = np.full(len(P), 1.0 / len(P))
    for _ in range(_STEPS):  # expectation-maximisation: the problem is concave, each step goes up
        parts = weights[:, None] * P
        weights = (parts / parts.sum(axis=0)).mean(axis=1)
    return weights


def choose_teacher(
    members: Sequence[TeacherMember], y: IntArray, folds: IntArray, *, asked: str = "auto", default: str = DEFAULT
) -> TeacherChoice:
    """The best of the members and their average, or the one that is asked for, with what was found of all.

    Args:
        members: Those to compare, the default among them; of those that are as good as the best the first is taken,
            and the average last.
        y: Classes of the labelled rows, (l,).
        folds: Which fold each is tested in, (l,); -1 is never.
        asked: ``auto``, ``stacked``, or a member's name.
        default: Whom the others have to beat.

    Raises:
        BadInput: There is no member of that name.
    """
    names = [member.name for member in members]
    if default not in names or (asked not in ("auto", STACKED) and asked not in names):
        raise BadInput(f"There is no teacher {asked!r} here; choose auto, {STACKED} or one of {', '.join(names)}.")
    tested = np.flatnonzero(folds >= 0)
    if len(tested) < MIN_TESTED or len(np.unique(y)) < 2:
        return _too_few(asked, default, names, len(tested))
    answers = np.stack([member.cross_fitted(folds)[tested] for member in members]).astype(np.float64)
    truth, fold = y[tested], folds[tested]
    losses = {name: log_losses(truth, P) for name, P in zip(names, answers, strict=True)}
    right = {name: P.argmax(axis=1) == truth for name, P in zip(names, answers, strict=True)}
    average: tuple[NDArray[np.float64], float] | None = None
    if len(members) > 1:
        held = _cross_weighted(answers, truth, fold)
        losses[STACKED], right[STACKED] = log_losses(truth, held), held.argmax(axis=1) == truth
        average = _averaged(answers, truth)
    kind = asked if asked in losses else default if asked == STACKED else _best(losses, default)
    weights, temperature = {kind: 1.0}, 1.0
    if kind == STACKED and average is not None:
        weights = {name: float(share) for name, share in zip(names, average[0], strict=True) if share > 0}
        temperature = average[1]
    scores = {
        name: MemberScore(
            name, round(float(losses[name].mean()), 4), round(float(right[name].mean()), 4),
            round(weights.get(name, 0.0), 4),
        )
        for name in losses
    }  # fmt: skip
    stacked = scores.pop(STACKED, None)
    why = _why(kind, asked, default, losses, weights, len(tested))
    return TeacherChoice(kind, weights, temperature, tuple(scores.values()), stacked, why, len(tested))


def _too_few(asked: str, default: str, names: Sequence[str], tested: int) -> TeacherChoice:
    kind = asked if asked in names else default
    why = "the settings say so" if asked == kind else f"{tested} labels to test on are too few to compare teachers"
    return TeacherChoice(
        kind, {kind: 1.0}, members=tuple(MemberScore(name, None, None, float(name == kind)) for name in names), why=why
    )


def _best(losses: Mapping[str, Losses], default: str) -> str:
    """The default, unless the best is clearly better; then the first that is as good as the best."""
    best = min(losses, key=lambda name: float(losses[name].mean()))
    return next(
        name
        for name in (default, *(name for name in losses if name != default))
        if name == best or _as_good(losses[name], losses[best])
    )


def _as_good(losses: Losses, best: Losses) -> bool:
    excess = losses - best
    margin = max(float(excess.std(ddof=1)) / np.sqrt(len(excess)), LEAST_GAIN * float(best.mean()))
    return bool(excess.mean() <= margin)


def _averaged(answers: NDArray[np.float64], y: IntArray) -> tuple[NDArray[np.float64], float]:
    """Weights (members,), small ones zero, and the temperature of the average, from (members, n, classes)."""
    rows = np.arange(len(y))
    weights = simplex_weights(answers[:, rows, y])
    weights = np.where(weights < LEAST_WEIGHT, 0.0, weights)
    weights /= weights.sum()
    mixed = np.tensordot(weights, answers, axes=1)
    return weights, float(np.clip(fit_temperature(mixed, y), _LOW, _HIGH))


def _cross_weighted(answers: NDArray[np.float64], y: IntArray, folds: IntArray) -> NDArray[np.float64]:
    """The average's answers for each row by weights that were fitted without its fold, (n, classes)."""
    out = np.empty(answers.shape[1:])
    for fold in np.unique(folds):
        test = folds == fold
        weights, temperature = _averaged(answers[:, ~test], y[~test])
        out[test] = apply_temperature(np.tensordot(weights, answers[:, test], axes=1), temperature)
    return out


def _why(
    kind: str, asked: str, default: str, losses: Mapping[str, Losses], weights: Mapping[str, float], tested: int
) -> str:
    means = {name: float(rows.mean()) for name, rows in losses.items()}
    beside = ", ".join(f"{_said(name)} {mean:.3f}" for name, mean in means.items() if name != kind)
    shares = " and ".join(f"{share:.0%} {_said(name)}" for name, share in weights.items())
    made = f" ({shares})" if kind == STACKED else ""
    found = f"log-loss on {tested} labels that it was not trained on is {means[kind]:.3f}{made}"
    if beside:
        found += f", beside {beside}"
    if asked != "auto":
        return f"the settings say so; {found}"
    if len(means) == 1:
        return found
    if kind == default:
        return f"{found}: none is clearly better"
    return f"{found}: clearly better than the head"


def _said(name: str) -> str:
    return {DEFAULT: "the head", STACKED: "an average of all"}.get(name, name)


class CompositeTeacher:
    """What teaches the student: one member's answers, or the average of several.

    Members that have a share are fitted when they are first asked.
    """

    def __init__(self, members: Sequence[TeacherMember], choice: TeacherChoice):
        """Keep the members that have a share.

        Raises:
            BadInput: One that has a share is not there.
        """
        there = {member.name: member for member in members}
        missing = [name for name in choice.weights if name not in there]
        if missing:
            raise BadInput(f"The teacher {missing[0]!r} is not there any more: choose again.")
        self.choice = choice
        self.members = {name: there[name] for name in choice.weights}
        self._is_fitted = False

    def fit(self) -> None:
        """Train the members on all labelled rows, once."""
        if not self._is_fitted:
            for member in self.members.values():
                member.fit()
            self._is_fitted = True

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Probabilities of rows of the pool, (len(rows), n_classes) float32; of a single member as it gives them."""
        self.fit()
        return self.mixed({name: member.predict_proba(rows) for name, member in self.members.items()})

    def of_items(self, features: Any, texts: Sequence[str]) -> FloatArray:
        """Probabilities of items that are no rows of the pool, (n, n_classes) float32: test rows of a simulation.

        Args:
            features: Shape (n, d), in the view that the head was trained on.
            texts: Their texts; empty where they are none.

        Raises:
            BadInput: A member answers for rows of the pool only.
        """
        self.fit()
        answers = {}
        for name, member in self.members.items():
            of_items = getattr(member, "of_items", None)
            if of_items is None:
                raise BadInput(f"The teacher {name!r} answers for items of the pool only.")
            answers[name] = of_items(features, texts)
        return self.mixed(answers)

    def mixed(self, answers: Mapping[str, FloatArray]) -> FloatArray:
        """The average of what each member that has a share says, (n, n_classes) each."""
        if len(self.members) == 1 and self.choice.kind != STACKED:
            return next(iter(answers.values()))
        average = sum(self.choice.weights[name] * answers[name].astype(np.float64) for name in self.members)
        if not len(np.asarray(average)):
            return np.asarray(average, dtype=np.float32)
        return apply_temperature(np.asarray(average), self.choice.temperature).astype(np.float32)
