"""The settings of a project: their names, defaults and limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from winnow.errors import FieldError, Invalid
from winnow.hub_encoders import PREFIX, HubEntry, names_for, task_of
from winnow.peer_strategies import PEER_STRATEGIES

TASKS = ("text", "image", "features")
STRATEGIES = (
    "auto",
    "random",
    "least_confidence",
    "margin",
    "entropy",
    "committee",
    "kmeans",
    "coreset",
    "typiclust",
    "herding",
    "probcover",
    "clustered_margin",
    "badge",
    "i_optimal",
    "uncertainty_herding",
    "ranked_batch",
    "dropquery",
    "power_margin",
    "vote_entropy",
    "consensus_entropy",
    "kl_max",
    "bald",
    "gradient_length",
    "model_change",
    "expected_error",
    "density",
    "density_uncertainty",
    "class_balanced",
    "rare_class",
)
ENCODERS = {
    "text": ("auto", "minilm", "hashed"),
    "image": ("auto", "patches"),
    "features": ("auto", "none"),
}
TEACHERS = ("auto", "logistic")
#: Students that are cut from the encoder, by how many of its layers they have.
TRANSFORMERS = ("transformer-1", "transformer-2", "transformer-3")
STUDENTS = {
    "text": ("auto", "hashed", *TRANSFORMERS),
    "image": ("auto", "convnet"),
    "features": ("auto", "mlp"),
}
#: What a budget may limit, each a positive number.
BUDGETS = (
    "labels",
    "cpu_minutes",
    "watt_hours",
    "peak_memory_mb",
    "student_mb",
    "student_ms",
)


def default_settings() -> dict[str, Any]:
    """Every setting with its default."""
    return {
        "batch_size": "auto",
        "strategy": "auto",
        "overlap": 1,
        "holdout": "auto",
        "lease_seconds": 300,
        "encoder": "auto",
        "teacher": "auto",
        "student": "auto",
        "budget": {},
    }


def validate_settings(
    given: Mapping[str, Any],
    task: str,
    base: Mapping[str, Any] | None = None,
    hub: Mapping[str, HubEntry] | None = None,
) -> dict[str, Any]:
    """Complete settings: ``given`` over ``base`` (the defaults when not given); ``hub`` has the registered encoders.

    Raises:
        Invalid: a name is not known or a value is out of its range; each is named in ``errors``.
    """
    complete = {**default_settings(), **(base or {})}
    rules = {**_rules(task), "encoder": _encoder(task, hub or {}, complete["encoder"])}
    errors = []
    for name, value in given.items():
        if name not in rules:
            errors.append(_error(name, f"is not a setting; there are {', '.join(rules)}"))
            continue
        try:
            complete[name] = rules[name](value)
        except ValueError as error:
            errors.append(_error(name, str(error)))
    if complete["student"] in TRANSFORMERS and complete["encoder"] == "hashed":
        errors.append(_error("student", "is cut from the encoder, and hashed has no layers: set encoder to minilm"))
    if errors:
        what = "; ".join(f"{'.'.join(map(str, error.loc[1:]))} {error.msg}" for error in errors)
        raise Invalid(f"{what}.", errors=errors)
    return complete


def _error(name: str, msg: str) -> FieldError:
    return FieldError(("body", "settings", name[:100]), msg)


def _rules(task: str) -> dict[str, Callable[[Any], Any]]:
    return {
        "batch_size": _auto_or(_whole(1, 100_000)),
        "strategy": _strategy,
        "overlap": _whole(1, 100),
        "holdout": _holdout,
        "lease_seconds": _whole(1, 86_400),
        "teacher": _one_of(TEACHERS),
        "student": _one_of(STUDENTS[task]),
        "budget": _budget,
    }


def _strategy(value: Any) -> str:
    if isinstance(value, str) and value in (*STRATEGIES, *PEER_STRATEGIES):
        return value
    library = value.partition(":")[0] if isinstance(value, str) and ":" in value else None
    names = [name for name in PEER_STRATEGIES if library is not None and name.startswith(f"{library}:")]
    if names:
        raise ValueError(f"must be one of {', '.join(names)}")
    raise ValueError(
        f"must be one of {', '.join(STRATEGIES)}, or of another library: modal:, skactiveml: or small_text: and a name"
    )


def _number(value: Any) -> bool:
    """Whether a float can hold it; JSON's integers know no size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def rule(value: Any) -> int:
        if not _number(value) or value != int(value) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return rule


def _auto_or(rule: Callable[[Any], int]) -> Callable[[Any], Any]:
    def either(value: Any) -> Any:
        if value == "auto":
            return value
        try:
            return rule(value)
        except ValueError as error:
            raise ValueError(f'{error}, or "auto"') from None

    return either


def _one_of(names: tuple[str, ...]) -> Callable[[Any], str]:
    def rule(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return rule


def _encoder(task: str, hub: Mapping[str, HubEntry], present: str) -> Callable[[Any], str]:
    """One of ours, or a registered one for this kind of item. What a project has stays, registered or not."""
    known = (*ENCODERS[task], *names_for(task, hub))

    def rule(value: Any) -> str:
        if isinstance(value, str) and (value in known or value == present):
            return value
        entry = hub.get(value.removeprefix(PREFIX)) if isinstance(value, str) and value.startswith(PREFIX) else None
        what = "" if entry is None else f"; {value} reads {task_of(entry)} items, this project has {task}"
        raise ValueError(f"must be one of {', '.join(known)}{what}")

    return rule


def _holdout(value: Any) -> Any:
    """``auto``, off, a share of the pool, or a precision: the half-width of the interval to measure down to."""
    if value in ("auto", False) and not _number(value):
        return value
    if _number(value) and 0 < value < 1:
        return float(value)
    if isinstance(value, Mapping) and set(value) == {"precision"}:
        precision = value["precision"]
        if _number(precision) and 0 < precision <= 0.5:
            return {"precision": float(precision)}
    raise ValueError('must be "auto", false, a share between 0 and 1, or {"precision": up to 0.5}')


def _budget(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object")
    limits = {}
    for name, limit in value.items():
        if name not in BUDGETS:
            raise ValueError(f"can limit {', '.join(BUDGETS)}")
        if not _number(limit) or limit <= 0:
            raise ValueError(f"{name} must be a positive number")
        limits[name] = limit
    return limits
