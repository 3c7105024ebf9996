"""The recount agrees with the counters that each change moves, and finds what somebody spoiled."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import update

from tests.winnow.pools import Pool, word
from winnow import recount
from winnow.db.session import Database
from winnow.db.tables import Item, Project
from winnow.errors import NotFound
from winnow.settings import Settings


@pytest.fixture
def project(database: Database, settings: Settings) -> int:
    """Sixty items, some labelled by their file and one of the test set, answered in all sorts of ways by two people."""
    pool = Pool.make(database, settings, overlap=2, people=2)
    pool.fill(55)
    pool.add({"text": "tested", "label": "spam", "split": "test"}, labels="use", on_duplicate="skip", user_id=None)
    imported = [{"text": f"labelled {word(n)}", "label": "spam"} for n in range(4)]
    pool.add(*imported, labels="use", on_duplicate="skip", user_id=None)
    rng = random.Random(7)
    for turn in range(12):
        held = pool.claim(turn % 2, 4).items
        answers = [rng.choice([{"label": "spam"}, {"label": "ham"}, {"skip": True}, {"flag": "odd"}]) for _ in held]
        entries = [{"item": str(item.item_id), **answer} for item, answer in zip(held, answers, strict=True)]
        accepted, _ = pool.write(turn % 2, *entries)
        if turn % 3 == 0:
            pool.undo(turn % 2, accepted[0].label_id)
    return pool.project_id


def test_after_all_sorts_of_answers_every_counter_is_right(database: Database, project: int) -> None:
    with database.write() as session:
        assert recount.differences(session, project) == {}
        counted = recount.recount(session, project)
    assert (counted["n_items"], counted["next_number"], counted["n_test"]) == (60, 60, 1)
    assert min(counted["n_labels"], counted["n_skipped"], counted["n_flagged"], counted["n_open"]) > 0


COUNTERS = """n_items next_number n_open n_open_holdout n_labeled n_skipped n_flagged n_labels n_test n_holdout_labels
n_behind"""


@pytest.mark.parametrize("counter", COUNTERS.split())
def test_a_counter_that_is_off_by_one_is_found(database: Database, project: int, counter: str) -> None:
    column = getattr(Project, counter)
    with database.write() as session:
        session.execute(update(Project).where(Project.id == project).values({counter: column + 1}))
        [(name, (kept, counted))] = recount.differences(session, project).items()
    assert (name, kept - counted) == (counter, 1)


def test_an_item_that_says_something_else_than_its_labels_is_found(database: Database, project: int) -> None:
    with database.write() as session:
        session.execute(update(Item).where(Item.project_id == project, Item.number == 40).values(is_open=~Item.is_open))
        assert recount.differences(session, project) == {"wrong_items": (0, 1)}


def test_a_project_that_is_not_there_has_no_count(database: Database) -> None:
    with pytest.raises(NotFound), database.write() as session:
        recount.recount(session, 99)
