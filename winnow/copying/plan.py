"""What becomes of each column of each table when a project goes to another database.

Every table and column is named here, or in ``LEFT_OUT`` with the reason: a test fails when one is added and is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table

import winnow.db.tables  # noqa: F401 — registers them
from winnow.copying.carrier import Carrier
from winnow.db.base import Base

#: Gives the value at the target of one at the source.
Rule = Callable[[Carrier, Any], Any]


def as_is(_carrier: Carrier, value: Any) -> Any:
    """The same value."""
    return value


def the_project(carrier: Carrier, _value: Any) -> int:
    """The project's new id."""
    return carrier.project


def person(carrier: Carrier, user_id: int | None) -> int | None:
    """The account there of whoever this is."""
    return None if user_id is None else carrier.person(user_id)


def row_of(table: str) -> Rule:
    """The new id of a row of ``table``."""
    return lambda carrier, row_id: None if row_id is None else carrier.ids[table].new(row_id)


def newest_label(carrier: Carrier, label_id: int) -> int:
    """A cut-off: the new id of the project's newest label up to this one; 0 stays 0."""
    return carrier.ids["labels"].newest_up_to(label_id)


def file_path(carrier: Carrier, path: str) -> str:
    """Where the file lies in the target's storage."""
    return carrier.path(path)


def file_paths(*places: str) -> Rule:
    """JSON in which a path, or an object of paths, stands under one of the keys ``places``."""

    def moved(carrier: Carrier, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if value is None else carrier.with_paths(value, places)

    return moved


def audited(carrier: Carrier, detail: dict[str, Any]) -> dict[str, Any]:
    """What an audit entry says: it names jobs and people by their ids."""
    return carrier.audit_detail(detail)


def _columns(*names: str, **ruled: Rule) -> dict[str, Rule]:
    return {**dict.fromkeys(names, as_is), **ruled}


#: In the order in which rows can be written: what is pointed to comes first, where the database checks it.
PLAN: Mapping[str, Mapping[str, Rule]] = {
    "projects": _columns(
        *("name", "task", "labels", "guidelines", "settings", "order_key", "created_at", "archived_at", "feature_dim"),
        *("next_number", "n_items", "n_open", "n_labeled", "n_skipped", "n_flagged", "n_labels", "n_test"),
        *("n_holdout_labels", "n_served", "round_labels", "ranked_round", "n_pool", "n_open_holdout", "n_behind"),
        id=the_project,
        created_by=person,
        ranked_cutoff=newest_label,
        behind_cutoff=newest_label,
    ),
    "members": _columns("role", "created_at", project_id=the_project, user_id=person),
    "items": _columns(
        *("number", "key", "digest", "group_digest", "shuffle", "split", "text", "meta", "standing", "is_open"),
        "created_at",
        id=row_of("items"),
        project_id=the_project,
    ),
    "contents": _columns("media_type", "data", item_id=row_of("items")),
    "jobs": _columns(  # those that had not ended: see Carrier.waiting_job
        *("kind", "state", "attempt", "deaths", "worker", "lease_until", "hinted_at", "progress", "message", "error"),
        *("created_at", "started_at", "finished_at"),
        id=row_of("jobs"),
        project_id=the_project,
        payload=file_paths("path"),
        checkpoint=file_paths("steps"),
        result=file_paths("download_url"),
        requested_by=person,
    ),
    "labels": _columns(
        *("kind", "value", "reason", "source", "round", "student_version", "mechanism", "probability", "seconds"),
        *("created_at", "superseded_at"),
        id=row_of("labels"),
        project_id=the_project,
        item_id=row_of("items"),
        user_id=person,
        superseded_by=row_of("labels"),
    ),
    "label_requests": _columns(
        *("request_id", "body_digest", "created_at"),
        id=row_of("label_requests"),
        project_id=the_project,
        user_id=person,
        item_id=row_of("items"),
        label_id=row_of("labels"),
    ),
    "queue": _columns(
        *("rank", "round", "student_version", "score", "reason", "mechanism", "probability", "label", "confidence"),
        project_id=the_project,
        item_id=row_of("items"),
    ),
    "leases": _columns(
        *(
            "seconds",
            "created_at",
            "expires_at",
            "position",
            "round",
            "student_version",
            "score",
            "reason",
            "mechanism",
        ),
        *("probability", "label", "confidence"),
        id=row_of("leases"),
        project_id=the_project,
        item_id=row_of("items"),
        user_id=person,
    ),
    "encoders": _columns(
        *("name", "version", "digest", "dim", "dtype", "details", "created_at"),
        project_id=the_project,
        path=file_path,
    ),
    "feature_shards": _columns(
        "start", "stop", "n_cut", "seconds", "created_at", project_id=the_project, path=file_path
    ),
    "rounds": _columns(
        *("n", "state", "labels", "strategy", "student_version", "promoted", "reason", "metrics", "costs", "seconds"),
        *("started_at", "finished_at"),
        project_id=the_project,
        job_id=row_of("jobs"),
        cutoff=newest_label,
    ),
    "students": _columns(
        *("version", "round", "family", "labels", "metrics", "recipe", "created_at", "promoted_at"),
        project_id=the_project,
        path=file_path,
    ),
    "ledger": _columns(
        *("attempt", "kind", "cpu_seconds", "wall_seconds", "peak_memory_bytes", "flops", "watt_hours", "grams_co2e"),
        "created_at",
        id=row_of("ledger"),
        project_id=the_project,
        job_id=row_of("jobs"),
    ),
    "llm_answers": _columns(
        *("question", "family", "endpoint", "model", "number", "examples", "state", "votes", "probabilities"),
        *("calls", "tokens_in", "tokens_out", "cost", "currency", "created_at", "answered_at"),
        id=row_of("llm_answers"),
        project_id=the_project,
    ),
    "audit": _columns(
        *("at", "action", "address"), id=row_of("audit"), user_id=person, project_id=the_project, detail=audited
    ),
}

#: Of people who are not known at the target yet; ``role`` may become less (see people.py).
PEOPLE = ("email", "password_hash", "role", "must_change_password", "created_at", "disabled_at")

LEFT_OUT: Mapping[str, str] = {
    "tokens": "a secret that opens one server must not open another: people sign in with their password, which comes",
    "sign_in_failures": "guesses at the old server's door",
    "workers": "processes of the old server",
}

#: Tables whose rows get new ids, in the order of the old ones.
NUMBERED = ("items", "jobs", "labels", "label_requests", "leases", "ledger", "llm_answers", "audit")


def table(name: str) -> Table:
    """The table of this name."""
    return Base.metadata.tables[name]


def carried(carrier: Carrier, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row of the table ``name`` as it is to be at the target."""
    new = dict(row)
    for column, rule in _RULED[name]:
        new[column] = rule(carrier, row[column])
    return carrier.waiting_job(row, new) if name == "jobs" else new


_RULED = {
    name: [(column, rule) for column, rule in columns.items() if rule is not as_is] for name, columns in PLAN.items()
}
