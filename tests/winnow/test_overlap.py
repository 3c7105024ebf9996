"""An overlap that changes while there are items, labels and leases."""

from __future__ import annotations

import pytest

from tests.winnow.pools import Pool
from winnow.db.session import Database
from winnow.projects import update_project
from winnow.settings import Settings


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    return Pool.make(database, settings, holdout=False)


def set_overlap(pool: Pool, overlap: int) -> None:
    with pool.database.write() as session:
        update_project(session, pool.project_id, settings={"overlap": overlap})


def test_a_raised_overlap_asks_others_for_what_one_has_labelled(pool: Pool) -> None:
    pool.fill(3)
    pool.add({"text": "came with a label", "label": "ham"}, {"text": "to test on", "label": "ham", "split": "test"})
    for held in pool.claim(0, 3).items:
        pool.label(0, held.item_id)
    assert pool.claim(1, 5).items == []
    set_overlap(pool, 2)
    assert pool.project.n_open == 3
    assert pool.claim(0, 5).items == []
    assert {held.text for held in pool.claim(1, 5).items} == {item.text for item in pool.items()[:3]}


def test_a_lowered_overlap_ends_what_is_one_too_many(pool: Pool) -> None:
    pool.fill(2)
    set_overlap(pool, 2)
    first, second = pool.claim(0, 2).items
    pool.label(0, first.item_id)
    pool.claim(1, 2)
    pool.rank(0, 1)
    set_overlap(pool, 1)
    assert pool.project.n_open == 1
    assert pool.live() == []
    assert [held.item_id for held in pool.claim(2, 2).items] == [second.item_id]
    assert len(pool.live()) == 1
