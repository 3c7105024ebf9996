"""Questions to language models: none is paid for twice, and no budget is passed."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from tests.winnow.pools import Pool
from winnow import llm_answers
from winnow.db.session import Database
from winnow.db.tables import LlmAnswer
from winnow.llm_answers import BudgetSpent, Limit, Question, Usage
from winnow.settings import Settings

ONE = Question("q1", "f", "far", "m", 3, (1, 2), "USD")
GUESS = Usage(1, 100, 8, 0.5)


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    return Pool.make(database, settings)


def reserve(pool: Pool, question: Question = ONE, limit: Limit = Limit(), guess: Usage = GUESS) -> None:  # noqa: B008
    with pool.database.write() as session:
        llm_answers.reserve(session, pool.project_id, question, guess, limit)


def settle(pool: Pool, question: str = "q1", correction: Usage = Usage(), state: str = "answered") -> None:  # noqa: B008
    votes, told = ([1], [0.2, 0.8]) if state == "answered" else ([-1], None)
    with pool.database.write() as session:
        llm_answers.settle(
            session, pool.project_id, question, correction=correction, state=state, votes=votes, probabilities=told
        )


def rows(pool: Pool) -> list[LlmAnswer]:
    with pool.database.read() as session:
        return list(session.scalars(select(LlmAnswer).where(LlmAnswer.project_id == pool.project_id)))


def spent(pool: Pool, currency: str = "USD") -> Usage:
    with pool.database.read() as session:
        return llm_answers.spent(session, pool.project_id, currency)


def test_a_call_is_held_by_its_estimate_until_its_answer_says_what_it_took(pool: Pool) -> None:
    reserve(pool)
    [row] = rows(pool)
    assert (row.state, row.number, row.examples, row.probabilities) == ("asked", 3, [1, 2], None)
    assert spent(pool) == GUESS
    settle(pool, correction=Usage(1, 40, 1, 0.125) + -GUESS)
    assert spent(pool) == Usage(1, 40, 1, 0.125)
    [row] = rows(pool)
    assert (row.state, row.votes, row.probabilities) == ("answered", [1], [0.2, 0.8])
    assert row.answered_at is not None


def test_what_was_asked_again_adds_up_in_one_row(pool: Pool) -> None:
    reserve(pool)
    reserve(pool)
    assert [row.calls for row in rows(pool)] == [2]
    assert spent(pool).cost == 1.0


def test_a_budget_is_reached_and_not_passed(pool: Pool) -> None:
    limit = Limit(calls=2, cost=1.0)
    reserve(pool, limit=limit)
    reserve(pool, replace(ONE, question="q2"), limit)
    with pytest.raises(BudgetSpent, match="the budget of 2 calls is spent"):
        reserve(pool, replace(ONE, question="q3"), limit)
    with pytest.raises(BudgetSpent, match="the budget of 1 USD is spent"):
        reserve(pool, replace(ONE, question="q3"), Limit(cost=1.0))
    assert len(rows(pool)) == 2
    reserve(pool, replace(ONE, question="q3", currency="EUR"), Limit(cost=1.0))  # another purse


def test_of_many_who_ask_at_once_no_more_go_than_the_budget_allows(pool: Pool) -> None:
    refused: list[str] = []
    barrier = threading.Barrier(6)

    def ask(n: int) -> None:
        barrier.wait()
        try:
            reserve(pool, replace(ONE, question=f"q{n}"), Limit(calls=3))
        except BudgetSpent as error:
            refused.append(error.reason)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (spent(pool).calls, len(refused)) == (3, 3)


def test_answers_of_a_family_are_the_settled_ones_the_newest_of_each_item(pool: Pool) -> None:
    for question, family, number, state in [
        ("q1", "f", 3, "answered"), ("q2", "f", 3, "unfit"), ("q3", "g", 3, "answered"), ("q4", "f", 5, "failed"),
        ("q5", "f", 6, "answered"),
    ]:  # fmt: skip
        reserve(pool, replace(ONE, question=question, family=family, number=number))
        settle(pool, question, state=state)
    reserve(pool, replace(ONE, question="q6", number=7))
    with pool.database.read() as session:
        found = llm_answers.family_answers(session, pool.project_id, "f")
        assert set(llm_answers.find(session, pool.project_id, ["q1", "q6", "none"])) == {"q1", "q6"}
        used = llm_answers.usage_of(session, pool.project_id, ["q1", "q6", "none"])
    assert [(row.question, row.number) for row in found] == [("q2", 3), ("q5", 6)]
    assert (used.calls, used.cost) == (2, 1.0)


def test_the_ledger_tells_tokens_and_money_of_each_endpoint(pool: Pool) -> None:
    for n, (endpoint, currency, state) in enumerate(
        [("far", "USD", "answered"), ("far", "USD", "unfit"), ("near", "EUR", "answered")]
    ):
        reserve(pool, replace(ONE, question=f"q{n}", endpoint=endpoint, currency=currency))
        settle(pool, f"q{n}", state=state)
    with pool.database.read() as session:
        found = llm_answers.totals(session, pool.project_id)
        nothing = llm_answers.totals(session, pool.project_id + 1)
    assert found["cost"] == {"USD": 1.0, "EUR": 0.5}
    assert [found[name] for name in ("calls", "tokens_in", "tokens_out", "answered", "unfit")] == [3, 300, 24, 2, 1]
    assert [(row["endpoint"], row["calls"], row["cost"]) for row in found["endpoints"]] == [
        ("far", 2, 1.0),
        ("near", 1, 0.5),
    ]
    assert nothing == {
        "calls": 0, "tokens_in": 0, "tokens_out": 0, "answered": 0, "unfit": 0, "cost": {}, "endpoints": []
    }  # fmt: skip


def test_an_answer_to_a_project_that_was_purged_meanwhile_is_dropped(pool: Pool) -> None:
    settle(pool, "never asked")
    assert rows(pool) == []
