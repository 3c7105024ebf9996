"""What a round chose and why: which strategy ranked, and what the teacher looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sampler.reasons import percent
from sampler.strategies.auto import auto_phase
from sampler.unseen_share import UnseenShare
from worker.round_data import IntArray

_ASKED_FOR = {
    "herding": "items that cover the pool, each with many like it",
    "typiclust": "items that cover the pool, each typical of its cluster",
    "uncertainty_herding": "items that the model doubts, each with many like it",
    "random": "items drawn at random",
}


def ranking_choice(
    strategy: str, used: str, y: IntArray, n_classes: int, *, has_model: bool, by_chance: bool = False
) -> dict[str, Any]:
    """How the items that come next were chosen, as a round's metrics hold it.

    Args:
        strategy: What the recipe names.
        used: What ranked; another one where that needs a model and there is none.
        y: Shape ``(l,)``: class indices of the labels that were trained on.
        n_classes: Number of classes of the project.
        has_model: Whether there was a model to rank with.
        by_chance: Whether it predicts labels that it has not seen no better than how often each class occurs.

    Returns:
        ``strategy``, the one that did the work (``ranked_by``), the ``phase`` of ``auto`` (else None) and ``why``
        (None where it is because the settings say so).
    """
    if used == "auto":
        phase = auto_phase(y, n_classes, has_model=has_model, by_chance=by_chance)
        return {"strategy": strategy, "ranked_by": phase.strategy, "phase": phase.name, "why": phase.why}
    why = None if used == strategy else "there is no model yet, and the strategy needs one"
    return {"strategy": strategy, "ranked_by": used, "phase": None, "why": why}


def view_choice(view: str, losses: Mapping[str, float], chosen_at: int, views: Sequence[str]) -> dict[str, Any]:
    """What the teacher looked at, as a round's metrics hold it.

    Args:
        view: The teacher's.
        losses: The cross-validated log-loss of each view; empty where there was nothing to compare.
        chosen_at: How many labels there were when this was compared.
        views: Those that there are.

    Returns:
        ``teacher_view``, ``view_losses``, ``view_chosen_at`` and ``view_why``.
    """
    others = {name: loss for name, loss in losses.items() if name != view}
    if len(views) < 2:
        why = "there is no graph of neighbours: the pool is too small or too large, or was just encoded anew"
    elif view in losses and others:
        beside = ", ".join(f"{loss:.3f} {_VIEWS[name]}" for name, loss in others.items())
        why = f"cross-validated log-loss over {chosen_at} labels is {losses[view]:.3f} so and {beside} (less is better)"
    else:
        why = f"{chosen_at} labels are too few to compare"
    return {
        "teacher_view": view,
        "view_losses": {name: round(loss, 4) for name, loss in losses.items()},
        "view_chosen_at": chosen_at,
        "view_why": why,
    }


_VIEWS = {
    "raw": "by itself",
    "blended": "half by itself and half with its nearest neighbours",
    "diffused": "with its nearest neighbours",
}


def unseen_choice(names: Sequence[str], share: UnseenShare | None) -> dict[str, Any]:
    """The classes without labels to train on, and how much of the pool is of them, as a round's metrics hold them.

    Args:
        names: Those classes.
        share: The estimate; None where no label was drawn uniformly.

    Returns:
        ``classes_never_seen`` and ``unseen_share`` (None, or ``value``, ``low``, ``high`` and ``labels``).
    """
    return {"classes_never_seen": list(names), "unseen_share": None if share is None else asdict(share)}


def _unseen_explained(names: Sequence[str], share: Mapping[str, Any] | None) -> str:
    """A sentence on classes without labels; empty where there are none."""
    if not names:
        return ""
    said = f"'{names[0]}' has no label yet" if len(names) == 1 else f"{len(names)} classes have no label yet"
    if share is None:
        return f" {said}."
    low, high = percent(share["low"]), percent(share["high"])
    drawn = f"{share['labels']} label{'' if share['labels'] == 1 else 's'} drawn at random"
    much = f"an estimated {percent(share['value'])} of the pool" if share["value"] else "hardly any of the pool"
    return f" {said}: {much} (95 % interval {low} to {high}, from {drawn})."


def teacher_in_words(metrics: Mapping[str, Any]) -> str:
    """What gave a round's soft labels: ``the head``, a member's name, or an average with its shares."""
    names = {"logistic": "the head", "lexical": "words and pieces of words", "prototypes": "the names of the classes"}
    shares = {m["name"]: m["weight"] for m in metrics.get("teacher_members", ()) if m["weight"] > 0}
    if metrics.get("teacher_kind") != "stacked":
        kind = str(metrics.get("teacher_kind", "logistic"))
        return names.get(kind, kind)
    return "an average of " + " and ".join(f"{share:.0%} {names.get(name, name)}" for name, share in shares.items())


def _taught_explained(metrics: Mapping[str, Any]) -> str:
    """A sentence on who taught the student; empty where there is no word of it."""
    if not metrics.get("teacher_why"):
        return ""
    return f" The student learns from {teacher_in_words(metrics)}: {metrics['teacher_why'].rstrip('.')}."


def student_explained(choice: Mapping[str, Any] | None) -> str:
    """A sentence on the family of the student; empty where families were not compared, or there was only one."""
    if choice is None or len(choice["candidates"]) < 2:
        return ""
    return f" The student is of the family {choice['family']}: {choice['why']}."


def explained(metrics: Mapping[str, Any]) -> str:
    """Both choices in words for people, and which classes have no labels."""
    ranking = metrics["ranking"]
    asked = _ASKED_FOR.get(ranking["ranked_by"], f"what {ranking['ranked_by']} puts first")
    why = ranking["why"] or "the settings say so"
    return (
        f"Next come {asked}: {why}. The teacher saw each item {_VIEWS[metrics['teacher_view']]}: {metrics['view_why']}."
        f"{_taught_explained(metrics)}"
        f"{_unseen_explained(metrics.get('classes_never_seen', ()), metrics.get('unseen_share'))}"
    )
