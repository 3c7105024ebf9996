"""What must hold whatever was killed: asked of the database itself, and held against what the service had said."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
from sqlalchemy import func, select

from bench.scenarios.kills.record import Held, Record
from winnow import cold_retrains, recount
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Job, Label, Lease, Project, Round, Student


@dataclass
class Findings:
    """What was found; each list is empty when all is well."""

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check_now(database: Database, project: int, findings: Findings) -> None:
    """What is cheap enough to be looked at after each kill, while everybody works."""
    with database.write() as session:
        for name, (kept, counted) in recount.differences(session, project).items():
            findings.wrong.append(f"{name} is {kept}, counted {counted}")
        live = (Lease.project_id == project) & (Lease.expires_at > utcnow())
        answered = select(Lease.id).join(
            Label,
            (Label.item_id == Lease.item_id) & (Label.user_id == Lease.user_id) & Label.superseded_at.is_(None),
        )
        for lease in session.scalars(answered.where(live)):
            findings.wrong.append(f"lease {lease} lives on although its holder has answered")
        holders = select(Lease.item_id).where(live).group_by(Lease.item_id).having(func.count() > 1)
        for item in session.scalars(holders):
            findings.double.append(f"item {item} is held by two people")
        labelled = select(Lease.item_id).join(
            Label, (Label.item_id == Lease.item_id) & (Label.kind == "label") & Label.superseded_at.is_(None)
        )
        for item in session.scalars(labelled.where(live)):
            findings.double.append(f"item {item} is held although it is labelled")


def check_all(database: Database, owner: httpx.Client, record: Record, projects: list[int], findings: Findings) -> None:
    """Everything about rows, once all is quiet."""
    for project in projects:
        check_now(database, project, findings)
        _check_stats(database, owner, project, findings)
        _check_items(database, record, project, findings)
        _check_rounds(database, project, findings)
    labels = _labels(database, projects)
    _check_acknowledged(labels, record, findings)
    _check_served(labels, record, findings)
    _check_jobs(database, record, projects, findings)
    findings.wrong += record.faults


def _labels(database: Database, projects: list[int]) -> list[Any]:
    columns = (
        Label.id,
        Label.item_id,
        Label.user_id,
        Label.kind,
        Label.created_at,
        Label.superseded_at,
        Label.superseded_by,
    )
    query = select(*columns).where(Label.project_id.in_(projects), Label.source == "human").order_by(Label.id)
    with database.read() as session:
        return list(session.execute(query).all())


def _check_acknowledged(labels: list[Any], record: Record, findings: Findings) -> None:
    """Each accepted label stands, or its own author changed or undid it; and nobody's label is there twice."""
    rows = {row.id: row for row in labels}
    accepted = {given.label: given for given in record.given}
    for given in record.given:
        row = rows.get(given.label)
        if row is None or (row.item_id, row.user_id) != (given.item, given.person):
            findings.lost.append(f"label {given.label} on item {given.item} was accepted and is not there")
        elif row.superseded_at is not None and given.label not in record.undone:
            later = rows.get(row.superseded_by)
            if later is None or later.user_id != given.person or later.id not in accepted:
                findings.lost.append(f"label {given.label} was accepted and does not stand")
    for given in record.given:
        row = rows.get(given.label)
        if given.label in record.undone and row is not None and row.superseded_at is None:
            findings.wrong.append(f"label {given.label} was undone and stands")
    for label in sorted(set(rows) - set(accepted)):
        findings.wrong.append(f"label {label} is there and was acknowledged to nobody")
    if len({given.label for given in record.given}) != len({given.request for given in record.given}):
        findings.wrong.append("a request was answered with two labels, or two with one")


def _check_served(labels: list[Any], record: Record, findings: Findings) -> None:
    """No two people hold an item at the same moment, and nobody is handed what another's label stands on."""
    by_item: dict[int, list[Any]] = defaultdict(list)
    for row in labels:
        by_item[row.item_id].append(row)
    held: dict[int, list[Held]] = defaultdict(list)
    for entry in set(record.held):
        held[entry.item].append(entry)
    for item, entries in held.items():
        rows = by_item[item]
        spans = sorted((entry.since, _until(entry, rows), entry.person) for entry in entries)
        for (_, end, person), (start, _, other) in pairwise(spans):
            if person != other and start < end:
                findings.double.append(f"item {item} was handed to {other} while {person} held it")
        for start, _, person in spans:
            if any(_stood(row, start) for row in rows if row.user_id != person):
                findings.double.append(f"item {item} was handed to {person} although another's label stood")
    for item, rows in by_item.items():
        if len({row.user_id for row in rows if row.kind == "label" and row.superseded_at is None}) > 1:
            findings.double.append(f"labels of two people stand on item {item}")


def _until(held: Held, rows: list[Any]) -> datetime:
    """When the holder answered; the leases of this scenario do not run out in its time."""
    own = [row.created_at for row in rows if row.user_id == held.person and row.created_at >= held.since]
    return min(own, default=datetime.max.replace(tzinfo=held.since.tzinfo))


def _stood(row: Any, moment: datetime) -> bool:
    ended = row.superseded_at
    return row.kind == "label" and row.created_at < moment and (ended is None or ended > moment)


def _check_items(database: Database, record: Record, project: int, findings: Findings) -> None:
    with database.read() as session:
        there = session.scalar(select(func.count()).select_from(Item).where(Item.project_id == project))
        numbers = session.scalar(select(func.count(Item.number.distinct())).where(Item.project_id == project))
    wanted = record.rows.get(project, 0)
    if there != wanted or numbers != wanted:
        findings.wrong.append(f"project {project} has {there} items with {numbers} numbers, {wanted} were imported")


def _check_jobs(database: Database, record: Record, projects: list[int], findings: Findings) -> None:
    """Every job has ended, those that somebody was promised with success."""
    with database.read() as session:
        rows = {job.id: job for job in session.scalars(select(Job).where(Job.project_id.in_(projects)))}
    for job in rows.values():
        if job.state in ("queued", "running"):
            findings.unended.append(f"{job.kind} {job.id} is still {job.state}: {job.message}")
        elif job.state != "succeeded" or job.result is None:
            findings.wrong.append(f"{job.kind} {job.id} {job.state}: {job.error}")
        if job.state not in ("queued", "running") and job.lease_until is not None:
            findings.wrong.append(f"{job.kind} {job.id} {job.state} and has a lease until {job.lease_until}")
    findings.unended += [f"{kind} {job} is not there" for job, kind in record.jobs.items() if job not in rows]
    for project in projects:
        results = [
            job.result for job in rows.values() if (job.project_id, job.kind) == (project, "import") and job.result
        ]
        created, imported = sum(result["created"] for result in results), record.imported.get(project, 0)
        if created != imported:
            findings.wrong.append(f"imports into project {project} say they made {created} items of {imported}")


def _check_rounds(database: Database, project: int, findings: Findings) -> None:
    """One round for each job that trained; one student for each round, and for each cold one that was better."""
    with database.read() as session:
        done = select(Job.id, Job.result).where(
            Job.project_id == project, Job.kind == "round", Job.state == "succeeded"
        )
        promised = sorted(
            (row.id, row.result["round"]) for row in session.execute(done) if row.result["state"] == "trained"
        )
        there = session.execute(select(Round.job_id, Round.n).where(Round.project_id == project))
        rounds = sorted((row.job_id, row.n) for row in there)
        students = list(session.scalars(select(Student.round).where(Student.project_id == project)))
        tried = select(Job.result).where(
            Job.project_id == project, Job.kind == cold_retrains.KIND, Job.state == "succeeded"
        )
        better = [result["round"] for result in session.scalars(tried) if result["student"] is not None]
        ranked = session.get_one(Project, project).ranked_round
    if rounds != promised:
        findings.wrong.append(f"rounds {set(rounds) ^ set(promised)} are there or were promised, not both")
    numbers = [n for _, n in rounds]
    if sorted(numbers) != list(range(1, len(numbers) + 1)) or sorted(students) != sorted([*numbers, *better]):
        findings.wrong.append(f"rounds are numbered {sorted(numbers)[-5:]}, students {sorted(students)[-5:]}")
    if ranked != max(numbers, default=0):
        findings.wrong.append(f"round {ranked} ranked the queue, the newest is {max(numbers, default=0)}")


def _check_stats(database: Database, owner: httpx.Client, project: int, findings: Findings) -> None:
    """What the service says of a project is what is in the database."""
    said = owner.get(f"/v1/projects/{project}/stats").raise_for_status().json()
    with database.write() as session:
        counted = recount.recount(session, project)
    names = {
        "items": "n_items",
        "labeled": "n_labeled",
        "skipped": "n_skipped",
        "flagged": "n_flagged",
        "remaining": "n_open",
    }
    for name, counter in names.items():
        if said[name] != counted[counter]:
            findings.wrong.append(f"stats says {name} {said[name]}, counted {counted[counter]}")
