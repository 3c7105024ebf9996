"""Answers of language models: each question is kept with its answer and its cost, so that none is paid for twice.

A call is **reserved** before it is made: the question's row and an estimate of its cost are committed, and a budget
that the estimate would exceed refuses it. It is **settled** when its answer is there, with the server's own figures
instead of the estimate. What is killed in between leaves the estimate, for the call may well have been charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.session import lock_project
from winnow.db.tables import LlmAnswer

#: States of a question that has its answer: it is not asked again.
SETTLED = ("answered", "unfit")
_CHUNK = 500


@dataclass(frozen=True)
class Question:
    """What is asked, as the table keeps it; see :class:`~winnow.db.tables.LlmAnswer`."""

    question: str
    family: str
    endpoint: str
    model: str
    number: int
    examples: tuple[int, ...]
    currency: str


@dataclass(frozen=True)
class Usage:
    """What calls took: how many, their tokens, and their cost in the endpoint's currency."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost + other.cost,
        )

    def __neg__(self) -> Usage:
        return Usage(-self.calls, -self.tokens_in, -self.tokens_out, -self.cost)


@dataclass(frozen=True)
class Limit:
    """Most that a project may spend: calls, and money in one currency. None is no limit."""

    calls: float | None = None
    cost: float | None = None

    def refusal(self, used: Usage, currency: str) -> str | None:
        """Why a project that will have used so much may not; None where it may."""
        if self.calls is not None and used.calls > self.calls:
            return f"the budget of {self.calls:g} calls is spent"
        if self.cost is not None and used.cost > self.cost * (1 + 1e-9):  # sums of floats
            return f"the budget of {self.cost:g} {currency} is spent"
        return None


class BudgetSpent(Exception):
    """The call would exceed the budget; ``reason`` says which one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def spent(session: Session, project_id: int, currency: str) -> Usage:
    """All calls of a project, and what those in ``currency`` cost."""
    calls, tokens_in, tokens_out, cost = session.execute(
        select(
            func.sum(LlmAnswer.calls),
            func.sum(LlmAnswer.tokens_in),
            func.sum(LlmAnswer.tokens_out),
            func.sum(LlmAnswer.cost).filter(LlmAnswer.currency == currency),
        ).where(LlmAnswer.project_id == project_id)
    ).one()
    return Usage(int(calls or 0), int(tokens_in or 0), int(tokens_out or 0), float(cost or 0.0))


def reserve(session: Session, project_id: int, asked: Question, estimate: Usage, limit: Limit) -> None:
    """Hold the estimated cost of a call that is about to be made.

    Raises:
        BudgetSpent: it would exceed ``limit``; nothing is written.
    """
    lock_project(session, project_id)
    refusal = limit.refusal(spent(session, project_id, asked.currency) + estimate, asked.currency)
    if refusal is not None:
        raise BudgetSpent(refusal)
    row = _row(session, project_id, asked.question)
    if row is None:
        row = LlmAnswer(project_id=project_id, state="asked", votes=[], probabilities=None, calls=0)
        row.tokens_in = row.tokens_out = 0
        row.cost = 0.0
        session.add(row)
    row.question, row.family, row.number = asked.question, asked.family, asked.number
    row.endpoint, row.model, row.currency = asked.endpoint, asked.model, asked.currency
    row.examples = list(asked.examples)
    _charge(row, estimate)
    session.flush()


def settle(
    session: Session,
    project_id: int,
    question: str,
    *,
    correction: Usage,
    state: str,
    votes: Sequence[int],
    probabilities: Sequence[float] | None,
) -> None:
    """Write what a reserved call brought.

    Args:
        session: Of the caller, who commits.
        project_id: Whose question it is.
        question: Its digest.
        correction: The server's figures less the estimate that was held.
        state: asked (votes are still missing), answered, unfit or failed.
        votes: The class index of each answer so far; -1 for one that is none of the classes.
        probabilities: Of each class; None while there is no answer that fits.
    """
    lock_project(session, project_id)
    row = _row(session, project_id, question)
    if row is None:  # the project was purged meanwhile
        return
    _charge(row, correction)
    row.state, row.votes = state, list(votes)
    row.probabilities = None if probabilities is None else list(probabilities)
    row.answered_at = utcnow()
    session.flush()


def find(session: Session, project_id: int, questions: Sequence[str]) -> dict[str, LlmAnswer]:
    """What is known of these questions, by digest."""
    found: dict[str, LlmAnswer] = {}
    for start in range(0, len(questions), _CHUNK):
        wanted = select(LlmAnswer).where(
            LlmAnswer.project_id == project_id, LlmAnswer.question.in_(questions[start : start + _CHUNK])
        )
        found.update((row.question, row) for row in session.scalars(wanted))
    return found


def family_answers(session: Session, project_id: int, family: str) -> list[LlmAnswer]:
    """The settled answers of a family, one an item: the newest."""
    wanted = (
        select(LlmAnswer)
        .where(LlmAnswer.project_id == project_id, LlmAnswer.family == family, LlmAnswer.state.in_(SETTLED))
        .order_by(LlmAnswer.number, LlmAnswer.id)
    )
    return list({row.number: row for row in session.scalars(wanted)}.values())


def usage_of(session: Session, project_id: int, questions: Sequence[str]) -> Usage:
    """What these questions have taken so far, in earlier attempts too."""
    total = Usage()
    for row in find(session, project_id, questions).values():
        total += Usage(row.calls, row.tokens_in, row.tokens_out, row.cost)
    return total


def totals(session: Session, project_id: int) -> dict[str, Any]:
    """What language models cost a project so far: calls and tokens, and money by currency and by endpoint."""
    rows = session.execute(
        select(
            LlmAnswer.endpoint,
            LlmAnswer.currency,
            *(
                func.sum(column).label(column.key)
                for column in (LlmAnswer.calls, LlmAnswer.tokens_in, LlmAnswer.tokens_out, LlmAnswer.cost)
            ),
            func.count().filter(LlmAnswer.state == "answered").label("answered"),
            func.count().filter(LlmAnswer.state == "unfit").label("unfit"),
        )
        .where(LlmAnswer.project_id == project_id)
        .group_by(LlmAnswer.endpoint, LlmAnswer.currency)
        .order_by(LlmAnswer.endpoint, LlmAnswer.currency)
    ).mappings()
    by_endpoint = [
        {**row, **{name: int(row[name]) for name in ("calls", "tokens_in", "tokens_out")}, "cost": float(row["cost"])}
        for row in rows
    ]
    cost: dict[str, float] = {}
    for row in by_endpoint:
        cost[row["currency"]] = cost.get(row["currency"], 0.0) + row["cost"]
    counted = ("calls", "tokens_in", "tokens_out", "answered", "unfit")
    return {**{name: sum(row[name] for row in by_endpoint) for name in counted}, "cost": cost, "endpoints": by_endpoint}


def _row(session: Session, project_id: int, question: str) -> LlmAnswer | None:
    return session.scalar(select(LlmAnswer).where(LlmAnswer.project_id == project_id, LlmAnswer.question == question))


def _charge(row: LlmAnswer, usage: Usage) -> None:
    row.calls += usage.calls
    row.tokens_in += usage.tokens_in
    row.tokens_out += usage.tokens_out
    row.cost += usage.cost
