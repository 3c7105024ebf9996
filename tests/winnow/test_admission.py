"""Adding items: duplicates, imported labels, test rows, and the holdout."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, select

from tests.winnow.pools import Pool, word
from winnow.db.session import Database
from winnow.db.tables import Item, Project
from winnow.holdout import holdout_share
from winnow.pool import raw_items
from winnow.settings import Settings


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    return Pool.make(database, settings)


def texts(pool: Pool) -> list[str | None]:
    return [item.text for item in pool.items()]


def test_items_get_numbers_and_a_random_order_that_the_key_fixes(pool: Pool) -> None:
    pool.fill(20)
    items = pool.items()
    assert [item.number for item in items] == list(range(20))
    assert len({item.shuffle for item in items}) == 20
    assert sorted(items, key=lambda item: item.shuffle) != items
    again = Pool(pool.database, pool.settings, pool.project_id, pool.users)
    assert [item.shuffle for item in again.items()] == [item.shuffle for item in items]


def test_the_same_key_or_without_one_the_same_content_is_a_duplicate(pool: Pool) -> None:
    first = pool.add({"text": "a", "key": "1"}, {"text": "b", "key": "1"}, {"text": "c"}, {"text": "c"}, {"text": "a"})
    assert (first.created, first.duplicates, first.rejected) == (2, 3, [])
    second = pool.add({"text": "a", "key": "2"}, {"text": "x", "key": "1"}, {"text": "c"})
    assert (second.created, second.duplicates) == (1, 2)
    assert texts(pool) == ["a", "c", "a"]


def test_an_update_takes_the_newer_meta_and_content_under_a_new_number(pool: Pool) -> None:
    pool.add({"text": "a", "key": "1", "meta": {"v": 1}}, {"text": "b"})
    assert pool.add({"text": "z", "key": "1", "meta": {"v": 2}}, on_duplicate="update").duplicates == 1
    assert pool.add({"text": "b", "meta": {"v": 3}}, on_duplicate="update").duplicates == 1
    first, second = pool.items()
    assert (first.text, first.meta, first.number) == ("z", {"v": 2}, 2)
    assert (second.text, second.meta, second.number) == ("b", {"v": 3}, 1)
    assert pool.project.next_number == 3
    with pool.database.read() as session:
        assert raw_items(session, pool.project_id, [0, 1, 2]) == ["", "b", "z"]


def test_the_content_of_what_is_labelled_or_held_cannot_change(pool: Pool) -> None:
    pool.add({"text": "a", "key": "1"}, {"text": "b", "key": "2"})
    pool.label(0, pool.items()[0].id)
    pool.claim(1)
    result = pool.add({"text": "x", "key": "1"}, {"text": "y", "key": "2"}, on_duplicate="update")
    assert (result.duplicates, [index for index, _ in result.rejected]) == (0, [0, 1])
    assert "labelled" in result.rejected[0][1]
    assert "holds" in result.rejected[1][1]
    assert texts(pool) == ["a", "b"]


def test_labels_are_merged_where_none_stands(pool: Pool) -> None:
    pool.add({"text": "a"}, {"text": "b"}, {"text": "c", "label": "ham"})
    pool.label(0, pool.items()[0].id, "ham")
    rows = [{"text": text, "label": "spam"} for text in "abc"]
    pool.add(*rows, on_duplicate="merge_labels")
    assert [(label.value, label.source) for label in pool.labels()] == [
        ("ham", "import"),
        ("ham", "human"),
        ("spam", "import"),
    ]
    project = pool.project
    assert (project.n_open, project.n_labeled, project.n_labels) == (0, 3, 1)


def test_an_update_replaces_an_imported_label_and_never_a_persons(pool: Pool) -> None:
    pool.add({"text": "a", "label": "ham"}, {"text": "b"})
    pool.label(0, pool.items()[1].id, "ham")
    pool.add({"text": "a", "label": "spam"}, {"text": "b", "label": "spam"}, on_duplicate="update")
    old, human, new = pool.labels()
    assert (old.superseded_by, new.value, new.source) == (new.id, "spam", "import")
    assert old.superseded_at is not None
    assert (human.superseded_at, human.value) == (None, "ham")


def test_a_later_row_of_the_same_call_merges_into_the_first(pool: Pool) -> None:
    pool.add({"text": "a", "key": "1"}, {"text": "b", "key": "1", "label": "spam"}, on_duplicate="merge_labels")
    assert texts(pool) == ["a"]
    assert [label.value for label in pool.labels()] == ["spam"]
    pool.add({"text": "c", "key": "2"}, {"text": "d", "key": "2", "meta": {"v": 1}}, on_duplicate="update")
    assert texts(pool) == ["a", "d"]


def test_imported_labels_stand_and_their_items_are_closed(pool: Pool) -> None:
    pool.add({"text": "a", "label": "spam"}, {"text": "b", "label": "ham", "split": "test"}, {"text": "c"})
    assert [(i.split, i.is_open, i.standing) for i in pool.items()] == [
        ("pool", False, 1),
        ("test", False, 1),
        ("pool", True, 0),
    ]
    project = pool.project
    counts = (project.n_items, project.n_open, project.n_labeled, project.n_test, project.n_labels, project.n_pool)
    assert counts == (3, 1, 2, 1, 0, 1)


def test_ignored_labels_leave_the_items_to_be_labelled(pool: Pool) -> None:
    result = pool.add({"text": "a", "label": "spam"}, labels="ignore")
    assert result.created == 1
    assert pool.items()[0].is_open
    assert pool.labels() == []


def test_features_of_another_length_are_rejected(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, task="features")
    result = pool.add({"features": [1, 2]}, {"features": [1, 2, 3]}, {"features": [3, 4]})
    assert (result.created, result.rejected[0][0]) == (2, 1)
    assert pool.project.feature_dim == 2
    with database.read() as session:
        arrays: list[Any] = raw_items(session, pool.project_id, [1, 0])
    assert [array.tolist() for array in arrays] == [[3, 4], [1, 2]]


def holdout_texts(pool: Pool) -> set[str]:
    return {str(item.text) for item in pool.items() if item.split == "holdout"}


def test_the_holdout_does_not_depend_on_how_the_pool_came_in(database: Database, settings: Settings) -> None:
    rows = [{"text": f"{word(i)} {word(3 * i + 1)}"} for i in range(1500)]
    at_once, in_parts = Pool.make(database, settings, people=0), Pool.make(database, settings, people=0)
    at_once.add(*rows)
    for start in range(0, len(rows), 130):
        in_parts.add(*rows[start : start + 130])
    assert holdout_texts(at_once) == holdout_texts(in_parts)
    held = len(holdout_texts(at_once))
    assert abs(held - 300) < 50
    for pool in (at_once, in_parts):
        assert pool.project.n_open_holdout == held


def test_what_somebody_touched_stays_in_the_holdout(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings)
    pool.fill(200)
    held = holdout_texts(pool)
    assert 40 < len(held) < 80
    for _ in range(20):
        for item in pool.claim(0, 10).items:
            pool.label(0, item.item_id)
    pool.add(*({"text": f"{word(i)} more"} for i in range(1000, 6000)))
    assert held <= holdout_texts(pool)


def test_labelled_rows_and_pools_with_test_rows_have_no_holdout(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.5)
    pool.add(*({"text": word(i), "label": "spam"} for i in range(200)))
    assert holdout_texts(pool) == set()
    pool.add({"text": "test", "label": "ham", "split": "test"})
    pool.add(*({"text": word(i)} for i in range(200, 400)))
    assert holdout_texts(pool) == set()


def test_near_duplicates_are_held_out_together(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.5)
    pool.add(*({"text": word(i) + " order" + "!" * n} for i in range(100) for n in range(3)))
    splits: dict[str, set[str]] = {}
    for item in pool.items():
        splits.setdefault(item.group_digest, set()).add(item.split)
    assert len(splits) == 100
    assert all(len(split) == 1 for split in splits.values())


@pytest.mark.parametrize(
    ("setting", "n", "share"),
    [
        ("auto", 100, 0.0),
        ("auto", 167, 0.3),
        ("auto", 2000, 0.15),
        ("auto", 1_000_000, 0.1),
        (False, 10_000, 0.0),
        (0.25, 10, 0.25),
        ({"precision": 0.025}, 6000, 0.2),
    ],
)
def test_the_share_follows_the_pool_and_the_precision(setting: Any, n: int, share: float) -> None:
    assert holdout_share(setting, n) == pytest.approx(share)


def test_open_items_are_found_by_the_partial_index(pool: Pool) -> None:
    from winnow.queue import _SHUFFLED

    pool.fill(10)
    asked: list[tuple[str, Any]] = []
    event.listen(pool.database.engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    now = pool.items()[0].created_at
    bind = {"project": pool.project_id, "split": "pool", "user": 1, "overlap": 1, "now": now, "wanted": 5}
    with pool.database.read() as session:
        found = session.execute(_SHUFFLED, bind)
        assert len(found.all()) == 5
        [(statement, values)] = [(text, given) for text, given in asked if "ORDER BY items.shuffle" in text]
        cursor = session.connection().connection.cursor()
        if pool.database.engine.dialect.name == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # ten rows are read faster without any index
            cursor.execute(f"EXPLAIN {statement}", values)
            steps = [row[0] for row in cursor.fetchall()]
            sorts = "Sort Key"
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = [row[3] for row in cursor.fetchall()]
            sorts = "USE TEMP B-TREE"
    assert any("ix_items_open" in step for step in steps), steps
    assert not any(sorts in step for step in steps), steps


def test_the_project_row_is_what_the_counters_say(pool: Pool) -> None:
    pool.fill(5)
    with pool.database.read() as session:
        assert session.scalar(select(Project.n_items)) == len(session.scalars(select(Item)).all())
