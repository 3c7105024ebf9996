"""The settings of a project: their names, defaults and limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from winnow import llm_endpoints
from winnow.errors import FieldError, Invalid
from winnow.hub_encoders import PREFIX, HubEntry, names_for, task_of
from winnow.llm_endpoints import LlmEndpoint
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
#: Teachers that fine-tune an encoder: all of it, or a part.
FINETUNED = ("finetuned", "finetuned-lora", "finetuned-bias", "finetuned-last")
TEACHERS = {
    "text": ("auto", "logistic", "lexical", "prototypes", "stacked", *FINETUNED),
    "image": ("auto", "logistic"),
    "features": ("auto", "logistic"),
}
#: Students that are cut from the encoder, by how many of its layers they have.
TRANSFORMERS = ("transformer-1", "transformer-2", "transformer-3")
STUDENTS = {
    "text": ("auto", "static", "hashed", "static-pieces", *TRANSFORMERS),
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
    "llm_cost",
    "llm_calls",
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
        "device": None,
        "collect": False,
        "cold_retrain": True,
    }


def validate_settings(
    given: Mapping[str, Any],
    task: str,
    base: Mapping[str, Any] | None = None,
    hub: Mapping[str, HubEntry] | None = None,
    teachers: Sequence[str] = (),
    llm: Mapping[str, LlmEndpoint] | None = None,
) -> dict[str, Any]:
    """Complete settings: ``given`` over ``base`` (the defaults when not given).

    ``hub`` has the registered encoders, ``teachers`` the names of registered teachers, ``llm`` the language models.

    Raises:
        Invalid: a name is not known or a value is out of its range; each is named in ``errors``.
    """
    complete = {**default_settings(), **(base or {})}
    rules = {
        **_rules(task),
        "encoder": _encoder(task, hub or {}, complete["encoder"]),
        "teacher": _teacher(task, teachers, llm or {}, complete["teacher"]),
    }
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
        "student": _one_of(STUDENTS[task]),
        "budget": _budget,
        "device": _device,
        "collect": _switch,
        "cold_retrain": _switch,
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


def _one_of(names: tuple[str, ...], present: str | None = None) -> Callable[[Any], str]:
    def rule(value: Any) -> str:
        if not isinstance(value, str) or (value not in names and value != present):
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


def _teacher(task: str, teachers: Sequence[str], llm: Mapping[str, LlmEndpoint], present: str) -> Callable[[Any], str]:
    """One of ours, a registered classifier or language model. What a project has stays, registered or not."""
    known = (*TEACHERS[task], *teachers, *llm_endpoints.names_for(task, llm))

    def rule(value: Any) -> str:
        if isinstance(value, str) and (value in known or value == present):
            return value
        asks = isinstance(value, str) and value.startswith(llm_endpoints.PREFIX)
        what = f"; language models read texts, this project has {task}" if asks and task != "text" else ""
        if asks and task == "text":
            what = "; the operator registers language models with WINNOW_LLM_ENDPOINTS"
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


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


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


def _device(value: Any) -> dict[str, Any] | None:
    """None for the machine that the workers run on, or what ``winnow profile`` printed on another one."""
    if value is None:
        return None
    wrong = ValueError("must be null, or the object that `winnow profile --json` prints on the device")
    families = value.get("families") if isinstance(value, Mapping) else None
    if not isinstance(families, Mapping) or not 0 < len(families) <= 20:
        raise wrong
    told: dict[str, Any] = {}
    for name, entry in families.items():
        if not isinstance(entry, Mapping) or not _number(entry.get("p50_ms")) or entry["p50_ms"] <= 0:
            raise wrong
        told[str(name)[:40]] = {"p50_ms": float(entry["p50_ms"])}
    return {"machine": str(value.get("machine", ""))[:200], "families": told}
