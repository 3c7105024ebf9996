"""How a project stands, in numbers. What is not measured is null."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow import llm_answers
from winnow.db.tables import Job, Label, Project, Round, Student, User
from winnow.drift import newest_drift
from winnow.encoder_facts import cut_share, encoder_facts
from winnow.features import covered
from winnow.holdout import LEAST_ITEMS
from winnow.label_rows import rfc3339
from winnow.ledger import totals
from winnow.rounds import labels_until_due


def project_stats(session: Session, project: Project) -> dict[str, Any]:
    """The contract's ``stats`` of ``project``."""
    per_label, annotators, by_models = _counts(session, project)
    rounds = _rounds(session, project.id)
    return {
        "items": project.n_items,
        "labeled": project.n_labeled,
        "skipped": project.n_skipped,
        "flagged": project.n_flagged,
        "remaining": project.n_open,
        "model_labels": by_models,
        "per_label": per_label,
        "per_annotator": {entry["user"]: entry["labels"] for entry in annotators},
        "annotators": annotators,
        "learning_curve": [_point(row) for row in rounds if row.state == "trained"],
        "freshness": _freshness(session, project),
        "accuracy": _accuracy(session, project),
        "holdout_labels": project.n_holdout_labels,
        "holdout_items": project.n_holdout_labels + project.n_open_holdout,
        "agreement": None,
        "labels_saved": None,
        "encoder": encoder_facts(session, project),
        "drift": newest_drift(session, project.id),
        "ledger": {**totals(session, project.id), "llm": llm_answers.totals(session, project.id)},
        "budget": None,
    }


def _counts(session: Session, project: Project) -> tuple[dict[str, int], list[dict[str, Any]], int]:
    """Standing labels of each class, what each person has done, the busiest first, and the number of models' labels."""
    query = (
        select(
            Label.user_id,
            User.email,
            Label.kind,
            Label.source,
            Label.value,
            func.count().label("n"),
            func.count(Label.seconds).label("timed"),
            func.sum(Label.seconds).label("seconds"),
        )
        .outerjoin(User, User.id == Label.user_id)
        .where(Label.project_id == project.id, Label.superseded_at.is_(None))
        .group_by(Label.user_id, User.email, Label.kind, Label.source, Label.value)
    )
    per_label = {str(label["name"]): 0 for label in project.labels}
    people: dict[int, dict[str, Any]] = {}
    by_models = 0
    for row in session.execute(query):
        if row.source == "model":
            by_models += row.n
            continue
        if row.kind == "label":
            per_label[row.value] = per_label.get(row.value, 0) + row.n
        if row.user_id is None:
            continue
        blank = {"user": row.email, "labels": 0, "skipped": 0, "flagged": 0, "timed": 0, "seconds": 0.0}
        person = people.setdefault(row.user_id, blank)
        person[{"label": "labels", "skip": "skipped", "flag": "flagged"}[row.kind]] += row.n
        person["timed"] += row.timed
        person["seconds"] += row.seconds or 0.0
    busiest = sorted(people.values(), key=lambda person: (-person["labels"], person["user"]))
    for person in busiest:
        timed, seconds = person.pop("timed"), person.pop("seconds")
        person["mean_seconds"] = seconds / timed if timed else None
    return per_label, busiest, by_models


def _rounds(session: Session, project_id: int) -> list[Any]:
    query = select(Round.n, Round.state, Round.labels, Round.metrics, Round.student_version, Round.finished_at)
    return list(session.execute(query.where(Round.project_id == project_id).order_by(Round.n)))


def _point(row: Any) -> dict[str, Any]:
    metrics = row.metrics or {}
    return {
        "round": row.n,
        "labels": row.labels,
        "accuracy": measured(metrics.get("accuracy")),
        "teacher_accuracy": measured(metrics.get("teacher")),
        "student": row.student_version,
        "at": rfc3339(row.finished_at),
    }


def measured(interval: Any) -> dict[str, Any] | None:
    """An accuracy with its interval as it is shown; null under 50 labels, where nothing is measurable yet."""
    if not isinstance(interval, dict) or interval.get("value") is None or (interval.get("labels") or 0) < LEAST_ITEMS:
        return None
    return {name: interval.get(name) for name in ("value", "low", "high", "labels")}


def _accuracy(session: Session, project: Project) -> dict[str, Any] | None:
    """What was measured of the current student."""
    metrics = session.scalar(
        select(Student.metrics)
        .where(Student.project_id == project.id, Student.promoted_at.is_not(None))
        .order_by(Student.promoted_at.desc(), Student.version.desc())
        .limit(1)
    )
    return measured((metrics or {}).get("accuracy"))


def _freshness(session: Session, project: Project) -> dict[str, Any]:
    """What ranked the queue, how far behind it is, when the next round comes, and how far encoding is."""
    active = {
        row.kind: row
        for row in session.execute(
            select(Job.kind, Job.state, Job.progress, Job.message)
            .where(Job.project_id == project.id, Job.state.in_(("queued", "running")))
            .order_by(Job.state)  # of two rounds, the running one is kept
        )
        if row.kind != "round" or row.state == "running"
    }
    encode = active.get("encode")
    return {
        "round": project.ranked_round,
        "labels_behind": _behind(session, project),
        "next_round_in": labels_until_due(project),
        "training": "round" in active,
        "encoding": None if encode is None else {"progress": encode.progress, "message": encode.message},
        "encoded": min(covered(session, project.id), project.n_items),
        "cut_share": cut_share(session, project.id),
        "trouble": _trouble(session, project),
    }


def _trouble(session: Session, project: Project) -> str | None:
    """Why the newest round or encoding that came to an end failed, if it did: nobody watches those jobs."""
    newest = session.execute(
        select(Job.kind, Job.state, Job.error)
        .where(Job.project_id == project.id, Job.kind.in_(("round", "encode")), Job.state.in_(("succeeded", "failed")))
        .order_by(Job.finished_at.desc(), Job.id.desc())
        .limit(1)
    ).first()
    if newest is None or newest.state != "failed":
        return None
    what = "round" if newest.kind == "round" else "encoding"
    return f"The last {what} failed. {(newest.error or {}).get('detail', '')}".strip()


def _behind(session: Session, project: Project) -> int:
    if project.behind_cutoff == project.ranked_cutoff:
        return project.n_behind
    return (
        session.scalar(
            select(func.count()).where(
                Label.project_id == project.id,
                Label.id > project.ranked_cutoff,
                Label.superseded_at.is_(None),
                Label.kind == "label",
                Label.source == "human",
            )
        )
        or 0
    )
