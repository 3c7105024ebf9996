"""Writing, undoing and reading labels; the counters are what a recount gives."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import select

from tests.winnow.pools import Pool, word
from winnow.counters import COUNTERS
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Job, Label, Lease, Project, QueueEntry
from winnow.errors import Conflict, NotFound
from winnow.label_rows import COLUMNS
from winnow.labels import standing_for_training, stream_labels
from winnow.projects import update_project
from winnow.settings import Settings


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    made = Pool.make(database, settings, holdout=False, batch_size=100_000)
    made.fill(10)
    return made


def reasons(pool: Pool, *entries: Any, person: int = 0) -> list[str]:
    accepted, rejected = pool.write(person, *entries)
    assert accepted == []
    return [entry.reason for entry in rejected]


def test_a_label_carries_what_the_lease_knew(pool: Pool) -> None:
    pool.rank(5, 6, 7)
    held = pool.claim(0).items[0]
    pool.label(0, held.item_id, "ham", lease=str(held.lease_id), seconds=2)
    (label,) = pool.labels()
    assert (label.value, label.kind, label.source, label.seconds) == ("ham", "label", "human", 2.0)
    assert (label.mechanism, label.round, label.student_version, label.probability) == ("strategy", 1, 1, None)
    assert pool.live() == []
    item = next(item for item in pool.items() if item.id == held.item_id)
    assert (item.standing, item.is_open) == (1, False)


def test_without_a_lease_it_is_a_review(pool: Pool) -> None:
    pool.label(0, pool.items()[0].id)
    assert (pool.labels()[0].mechanism, pool.labels()[0].probability) == ("review", None)


def test_a_late_label_is_accepted_and_still_knows_what_drew_it(pool: Pool) -> None:
    held = pool.claim(0).items[0]
    pool.expire()
    pool.label(0, held.item_id, lease=str(held.lease_id))
    assert pool.labels()[0].mechanism == "exploration"


def test_a_late_label_ends_the_lease_of_whoever_has_it_now_and_theirs_counts_too(pool: Pool) -> None:
    held = pool.claim(0, 10).items[0]
    pool.expire()
    theirs = next(item for item in pool.claim(1, 10).items if item.item_id == held.item_id)
    pool.label(0, held.item_id, lease=str(held.lease_id))
    assert held.item_id not in {lease.item_id for lease in pool.live()}
    pool.label(1, held.item_id, "ham", lease=str(theirs.lease_id))
    assert [label.value for label in pool.labels()] == ["spam", "ham"]
    project = pool.project
    assert (project.n_labeled, project.n_labels, project.n_open) == (1, 2, 9)


def test_what_cannot_be_taken_is_rejected_and_the_rest_stands(pool: Pool) -> None:
    mine, theirs = pool.claim(0).items[0], pool.claim(1).items[0]
    other = next(i.id for i in pool.items() if i.id not in (mine.item_id, theirs.item_id))
    accepted, rejected = pool.write(
        0,
        {"item": mine.item_id, "label": "eggs"},
        {"item": 10_000, "label": "spam"},
        {"item": "x", "label": "spam"},
        {"item": other, "label": "spam", "lease": str(theirs.lease_id)},
        {"item": other, "label": "spam", "lease": str(mine.lease_id)},
        {"item": other, "label": "spam", "lease": "999999"},
        {"item": str(mine.item_id), "label": "spam", "lease": str(mine.lease_id)},
    )
    assert [entry.item_id for entry in accepted] == [mine.item_id]
    assert [entry.item for entry in rejected] == [str(mine.item_id), "10000", "x", *[str(other)] * 3]
    assert "'eggs' is not a class of this project; the classes are 'spam', 'ham'" in rejected[0].reason
    assert "There is no item '10000'" in rejected[1].reason
    assert all("not yours" in entry.reason for entry in rejected[3:])


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "exactly one of label"),
        ({"label": "spam", "skip": True}, "label and skip"),
        ({"skip": False}, "exactly one of label"),
        ({"skip": "yes"}, "skip must be true"),
        ({"labels": ["spam", "ham"]}, "exactly one"),
        ({"labels": "spam"}, "exactly one"),
        ({"label": 3}, "string"),
        ({"flag": " "}, "flag must say why"),
        ({"flag": "\ud800"}, "Unicode"),
        ({"label": "spam", "seconds": -1}, "from 0 up"),
        ({"label": "spam", "seconds": float("nan")}, "from 0 up"),
        ({"label": "spam", "seconds": float("inf")}, "from 0 up"),
        ({"label": "spam", "seconds": 10**400}, "from 0 up"),
        ({"label": "spam", "seconds": "2"}, "number"),
        ({"label": "spam", "request_id": ""}, "request_id"),
        ({"label": "spam", "request_id": "x" * 201}, "request_id"),
    ],
)
def test_an_entry_must_make_sense(pool: Pool, entry: dict[str, Any], says: str) -> None:
    assert says in reasons(pool, {"item": str(pool.items()[0].id), **entry})[0]


def test_an_entry_that_is_no_object_is_rejected(pool: Pool) -> None:
    assert "must be an object" in reasons(pool, "spam")[0]


def test_a_test_row_takes_no_label(pool: Pool) -> None:
    pool.add({"text": "mine", "label": "spam", "split": "test"})
    assert "test set" in reasons(pool, {"item": str(pool.items()[-1].id), "label": "ham"})[0]


def test_a_person_corrects_an_imported_label(pool: Pool) -> None:
    pool.add({"text": "given", "label": "spam"})
    item = pool.items()[-1].id
    mine = pool.label(0, item, "ham")
    imported, human = pool.labels()
    assert (imported.superseded_by, human.superseded_at) == (mine, None)
    pool.undo(0, mine)
    assert next(i for i in pool.items() if i.id == item).is_open


def test_a_request_id_counts_once(pool: Pool) -> None:
    item = str(pool.items()[0].id)
    entry = {"item": item, "label": "spam", "request_id": "r1", "seconds": 1}
    first = pool.write(0, entry, entry)
    assert first[0][0] == first[0][1]
    assert pool.write(0, entry)[0] == first[0][:1]
    assert pool.write(0, {**entry, "labels": ["spam"], "label": None, "seconds": 1.0})[0] == first[0][:1]
    assert len(pool.labels()) == 1
    for other in ({**entry, "label": "ham"}, {**entry, "item": str(pool.items()[1].id)}, {**entry, "seconds": 2}):
        assert "another body" in reasons(pool, other)[0]
    pool.undo(0, first[0][0].label_id)
    assert pool.write(0, entry)[0] == first[0][:1]
    assert pool.project.n_labels == 0
    assert pool.write(1, {**entry, "label": "ham"})[0] != first[0][:1]


def test_a_request_id_brings_its_first_answer_though_its_class_is_gone(pool: Pool) -> None:
    first, second = (str(item.id) for item in pool.items()[:2])
    entry = {"item": first, "label": "ham", "request_id": "r1"}
    (answer,), _ = pool.write(0, entry)
    pool.undo(0, answer.label_id)
    with pool.database.write() as session:
        update_project(session, pool.project_id, labels=["spam"])
    assert pool.write(0, entry, entry) == ([answer, answer], [])
    assert (len(pool.labels()), pool.project.n_labels) == (1, 0)
    assert "another body" in reasons(pool, {**entry, "label": "eggs"})[0]
    for new in ({**entry, "request_id": "r2"}, {"item": second, "label": "ham"}):
        assert "'ham' is not a class of this project" in reasons(pool, new)[0]


def test_a_rejected_entry_does_not_use_its_request_id_up(pool: Pool) -> None:
    entry = {"item": str(pool.items()[0].id), "label": "eggs", "request_id": "r1"}
    reasons(pool, entry)
    accepted, rejected = pool.write(0, {**entry, "label": "spam"})
    assert (len(accepted), rejected) == (1, [])


def test_a_second_answer_of_the_same_person_supersedes_the_first(pool: Pool) -> None:
    item = pool.items()[0].id
    first = pool.label(0, item, "spam")
    pool.write(0, {"item": item, "skip": True})
    third = pool.label(0, item, "ham")
    labels = pool.labels()
    assert [label.superseded_by for label in labels] == [labels[1].id, third, None]
    assert labels[0].id == first
    project = pool.project
    assert (project.n_labeled, project.n_labels, project.n_skipped) == (1, 1, 0)
    assert len(pool.write(0, {"item": item, "label": "spam"}, {"item": item, "label": "ham"})[0]) == 2
    assert [label.value for label in pool.labels() if label.superseded_at is None] == ["ham"]


def test_an_undo_gives_the_item_back_and_nothing_older(pool: Pool) -> None:
    pool.rank(*range(10))
    held = pool.claim(0).items[0]
    pool.label(0, held.item_id, "spam", lease=str(held.lease_id))
    label = pool.label(0, held.item_id, "ham")
    back = pool.undo(0, label)
    assert (back.item_id, back.lease_id, back.text) == (held.item_id, held.lease_id, held.text)
    assert back.expires_at > utcnow()
    assert [lease.mechanism for lease in pool.live()] == ["strategy"]
    assert all(row.superseded_at is not None for row in pool.labels())
    assert pool.claim(1, 10).remaining == 10
    assert held.item_id not in {lease.item_id for lease in pool.live() if lease.user_id == pool.users[1]}


def test_an_undo_is_for_ones_own_standing_labels(pool: Pool) -> None:
    label = pool.label(0, pool.items()[0].id)
    with pytest.raises(NotFound):
        pool.undo(1, label)
    with pytest.raises(NotFound):
        pool.undo(0, 999_999)
    pool.undo(0, label)
    with pytest.raises(Conflict):
        pool.undo(0, label)


def test_an_undone_skip_takes_the_item_over_unless_it_is_done(pool: Pool) -> None:
    first, second = (item.id for item in pool.items()[:2])
    skips = [entry.label_id for entry in pool.write(0, *({"item": i, "skip": True} for i in (first, second)))[0]]
    pool.claim(1, 10)
    pool.label(1, second)
    back = pool.undo(0, skips[0])
    assert [lease.user_id for lease in pool.live() if lease.item_id == first] == [pool.users[0]]
    assert back.expires_at > utcnow()
    done = pool.undo(0, skips[1])
    assert done.expires_at <= utcnow()
    assert [lease for lease in pool.live() if lease.item_id == second] == []


def test_a_round_is_asked_for_when_enough_labels_have_come(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=False, batch_size=3)
    pool.fill(5)
    hints: list[tuple[str, int]] = []
    database.send_hint = lambda kind, job: hints.append((kind, job))
    for n, item in enumerate(pool.items()):
        pool.label(0, item.id)
        assert len(hints) == (n >= 2)
    with database.read() as session:
        assert [(job.kind, job.state) for job in session.scalars(select(Job))] == [("round", "queued")]


def test_labels_are_streamed_in_order_with_the_fields_of_the_contract(pool: Pool) -> None:
    pool.add({"text": "given", "label": "spam", "key": "g"})
    item = pool.items()[0].id
    pool.label(0, item, "spam")
    pool.label(0, item, "ham", seconds=1.5)
    pool.write(1, {"item": pool.items()[1].id, "flag": "two languages"})
    rows = [row for page in stream_labels(pool.database, pool.project_id) for row in page]
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    assert [(row["label"], row["flag"], row["source"], row["user"]) for row in rows] == [
        ("spam", None, "import", None),
        ("ham", None, "human", "u0@example.org"),
        (None, "two languages", "human", "u1@example.org"),
    ]
    history = [row for page in stream_labels(pool.database, pool.project_id, everything=True) for row in page]
    assert [row["superseded_at"] is None for row in history] == [True, False, True, True]
    assert history[1]["at"].endswith("Z")


def test_training_gets_one_class_an_item(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=False, overlap=3)
    pool.fill(3)
    a, b, c = (item.id for item in pool.items())
    for person, name in enumerate(("spam", "ham", "ham")):
        pool.label(person, a, name)
    for person, name in enumerate(("ham", "spam")):
        pool.label(person, b, name)
    pool.write(0, {"item": c, "skip": True})
    with database.read() as session:
        labels = standing_for_training(session, pool.project_id)
    assert labels.numbers.tolist() == [0, 1]
    assert labels.classes.tolist() == [1, 1]
    assert labels.splits == ["pool", "pool"]
    assert labels.label_ids.tolist() == [3, 5]
    assert labels.cutoff == 6


def test_what_was_known_at_a_moment_is_found_again_until_somebody_changes_it(
    database: Database, settings: Settings
) -> None:
    pool = Pool.make(database, settings, holdout=False)
    pool.fill(3)
    a, b, c = (item.id for item in pool.items())
    pool.label(0, a, "spam")
    pool.label(0, b, "ham")
    with database.read() as session:
        before = standing_for_training(session, pool.project_id)
    pool.label(0, c, "ham")
    with database.read() as session:
        again = standing_for_training(session, pool.project_id, upto=before.cutoff)
        now = standing_for_training(session, pool.project_id)
    assert again.cutoff == before.cutoff < now.cutoff
    assert again.numbers.tolist() == [0, 1]
    assert again.digest() == before.digest() != now.digest()
    pool.label(0, b, "spam")
    with database.read() as session:
        changed = standing_for_training(session, pool.project_id, upto=before.cutoff)
    assert changed.numbers.tolist() == [0]
    assert changed.digest() != before.digest()


# Counters and invariants after anything


@pytest.mark.parametrize(("seed", "overlap"), [(0, 1), (1, 1), (2, 2), (3, 3)])
def test_counters_are_a_recount_whatever_happened(
    database: Database, settings: Settings, seed: int, overlap: int
) -> None:
    pool = Pool.make(database, settings, holdout=0.3, overlap=overlap, batch_size=100_000)
    pool.add(
        *({"text": f"{word(i)} a"} for i in range(25)),
        *({"text": f"{word(i)} b", "label": "ham", **({"split": "test"} if i == 99 else {})} for i in range(95, 99)),
    )
    rng = random.Random(seed)
    for step in range(120):
        act(pool, rng, step)
        check(pool, overlap, f"step {step}")


def act(pool: Pool, rng: random.Random, step: int) -> None:
    person = rng.randrange(3)
    items = pool.items()
    choice = rng.random()
    if choice < 0.35:
        pool.claim(person, rng.randint(1, 4))
    elif choice < 0.75:
        entries = []
        for _ in range(rng.randint(1, 3)):
            held = [lease for lease in pool.live() if lease.user_id == pool.users[person]]
            item = rng.choice(held).item_id if held and rng.random() < 0.7 else rng.choice(items).id
            answers = ({"label": "spam"}, {"label": "ham"}, {"skip": True}, {"flag": "odd"})
            answer = rng.choices(answers, weights=(4, 4, 2, 1))[0]
            entries.append({"item": str(item), **answer, "request_id": f"{step}-{rng.randrange(3)}"})
        pool.write(person, *entries)
    elif choice < 0.87:
        mine = [x for x in pool.labels() if x.user_id == pool.users[person] and x.superseded_at is None]
        if mine:
            pool.undo(person, rng.choice(mine).id)
    elif choice < 0.91:
        pool.expire()
    elif choice < 0.95:
        pool.rank(*rng.sample(range(len(items)), 12), round_n=step + 1)
    else:
        row = {"text": f"{word(rng.randrange(40))} a", **({"label": "spam"} if rng.random() < 0.3 else {})}
        pool.add(row, on_duplicate=rng.choice(["skip", "update", "merge_labels"]))


def check(pool: Pool, overlap: int, where: str) -> None:
    with pool.database.read() as session:
        project = session.get_one(Project, pool.project_id)
        items = {item.id: item for item in session.scalars(select(Item))}
        standing: dict[int, list[Label]] = defaultdict(list)
        for label in session.scalars(select(Label).where(Label.superseded_at.is_(None))):
            standing[label.item_id].append(label)
        live = [lease.item_id for lease in session.scalars(select(Lease).where(Lease.expires_at > utcnow()))]
        queued = {entry.item_id for entry in session.scalars(select(QueueEntry))}
    counted = dict.fromkeys(COUNTERS, 0) | {"n_served": project.n_served, "behind_cutoff": project.behind_cutoff}
    for item in items.values():
        rows = standing[item.id]
        labels = [row for row in rows if row.kind == "label"]
        human = [row for row in labels if row.source == "human"]
        is_open = item.split != "test" and len(labels) < overlap and len(human) == len(labels)
        assert (item.standing, item.is_open) == (len(labels), is_open), (where, item.id)
        counted["n_open"] += is_open
        counted["n_open_holdout"] += is_open and item.split == "holdout"
        counted["n_labeled"] += bool(labels)
        counted["n_skipped"] += any(row.kind == "skip" for row in rows)
        counted["n_flagged"] += any(row.kind == "flag" for row in rows)
        counted["n_labels"] += len(human)
        counted["n_holdout_labels"] += bool(human) and item.split == "holdout"
        counted["n_behind"] += sum(row.id > project.behind_cutoff for row in human)
        held = live.count(item.id)
        assert held == 0 or held + len(labels) <= overlap, (where, item.id)
        assert item.id not in queued or is_open, (where, item.id)
    assert {name: getattr(project, name) for name in COUNTERS} == counted, where
    assert project.n_items == len(items)
    assert project.n_test == sum(item.split == "test" for item in items.values())
