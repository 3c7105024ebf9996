"""One part of one deployment, killed so many times while everybody works."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import func, select

from bench.annotators import percentile
from bench.scenarios.kills.deployments import Deployment
from bench.scenarios.kills.files import check_files
from bench.scenarios.kills.invariants import Findings, check_all, check_now
from bench.scenarios.kills.victims import Kill, Killer
from bench.scenarios.kills.work import Work, working
from bench.scenarios.story import say
from winnow.db.session import Database
from winnow.db.tables import Job

#: So long it may take until the next job ends, after the last kill.
END_SECONDS = 120.0
_SHOWN = 5


def run_cell(
    deployment: Deployment, owner: httpx.Client, part: str, victims: Sequence[str], seed: int
) -> dict[str, Any]:
    """Kill the ``victims`` one after another; gives the row of the table that is called ``part``."""
    database = Database(deployment.settings.resolved_database_url, pool_size=0)
    findings = Findings()
    done: list[Kill] = []
    try:
        with working(deployment, owner, seed) as work:
            work.start()
            killer = Killer(deployment, database, work, random.Random(seed))
            for victim in victims:
                done.append(killer.kill(victim))
                if done[-1].recovered is None:
                    say(f"{deployment.name} · {victim} · never went on")
                check_now(database, work.project, findings)
            work.stop()
            _wait_for_jobs(database, work)
            check_all(database, owner, work.record, [work.project, work.pool], findings)
            swept = check_files(deployment, database, findings)
            with database.read() as session:
                ours = Job.project_id.in_((work.project, work.pool))
                deaths = session.scalar(select(func.sum(Job.deaths)).where(ours)) or 0
                exported = select(func.count()).where(ours, Job.kind == "export", Job.state == "succeeded")
                exports = session.scalar(exported) or 0
            hits = dict.fromkeys(victims, 0)
            for victim, kill in zip(victims, done, strict=True):
                hits[victim] += kill.hit
            counts = {"exports": exports, "files swept": swept, "deaths": deaths, "hits": hits}
            return _row(deployment, part, done, findings, work) | counts
    finally:
        database.dispose()


def _wait_for_jobs(database: Database, work: Work) -> None:
    """Until nothing is asked for any more: an import asks for an encoding, which asks for a first ranking."""
    wanted = (Job.project_id.in_((work.project, work.pool)), Job.finished_at.is_(None))
    before, deadline = -1, 0.0
    while before != 0:
        with database.read() as session:
            active = session.scalar(select(func.count()).select_from(Job).where(*wanted)) or 0
        if active != before:
            before, deadline = active, time.monotonic() + END_SECONDS
        elif time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _row(deployment: Deployment, part: str, done: list[Kill], findings: Findings, work: Work) -> dict[str, Any]:
    recovered = [kill.recovered for kill in done if kill.recovered is not None]
    for name in ("lost", "double", "unended", "wrong"):
        for text in getattr(findings, name)[:_SHOWN]:
            say(f"{deployment.name} · {part} · {name}: {text}")
    return {
        "deployment": deployment.name,
        "part": part,
        "kills": len(done),
        "hit work": sum(kill.hit for kill in done),
        "acknowledged": len(work.record.given),
        "jobs": len(work.record.jobs),
        "lost labels": len(findings.lost),
        "double served": len(findings.double),
        "jobs not ended": len(findings.unended),
        "wrong": len(findings.wrong),
        "never went on": len(done) - len(recovered),
        "recover p50 s": round(percentile(recovered, 0.5), 2),
        "recover max s": round(max(recovered, default=0.0), 2),
        "answers 503": work.record.unavailable,
    }
