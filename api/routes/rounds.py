"""Rounds: asking for one, and what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, Cursor, DatabaseDep, Limit, page_start, project_caller
from api.schemas.job import JobOut
from api.schemas.round import RoundList, RoundOut
from winnow import pool, rounds
from winnow.errors import NotFound
from winnow.ids import LARGEST_NUMBER, parse_id
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/rounds", tags=["rounds"])
Reader = Annotated[Caller, Depends(project_caller(Permission.ROUNDS_READ))]
Runner = Annotated[Caller, Depends(project_caller(Permission.ROUNDS_RUN))]


@router.post("", status_code=202)
def run_round(caller: Runner, database: DatabaseDep) -> JobOut:
    """Train now, on all labels so far. A round that already waits to start is the one you get."""
    with database.write() as session:
        project = pool.locked_project(session, caller.project_id)
        job = rounds.request_round(session, project, forced=True, user_id=caller.identity.user_id)
        caller.record(session, "round.request", job=job.id)
    return JobOut.of(job)


@router.get("")
def list_rounds(caller: Reader, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> RoundList:
    """The rounds that have ended, the newest first."""
    before = page_start(cursor)
    with database.read() as session:
        found = rounds.list_rounds(session, caller.project_id, before=before, limit=limit + 1)
    page = [RoundOut.of(entry) for entry in found[:limit]]
    return RoundList(data=page, next=str(page[-1].n) if len(found) > limit else None)


@router.get("/{n}")
def get_round(n: str, caller: Reader, database: DatabaseDep) -> RoundOut:
    """One round."""
    number = parse_id(n, "round")
    if number > LARGEST_NUMBER:
        raise NotFound("There is no round with this number.")
    with database.read() as session:
        return RoundOut.of(rounds.get_round(session, caller.project_id, number))
