"""Claims: who gets what, in which order, mixed how."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from datetime import timedelta

import pytest

from tests.winnow.pools import Pool, word
from winnow.counters import counted_project
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Round
from winnow.errors import Conflict, NotFound
from winnow.leases import list_leases, release_lease, renew_lease
from winnow.queue import stream_of
from winnow.settings import Settings


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    return Pool.make(database, settings, holdout=False)


def ids(batch_items: object) -> list[int]:
    return [item.item_id for item in batch_items]  # type: ignore[attr-defined]


def test_before_a_ranking_items_come_in_the_seeded_order(pool: Pool) -> None:
    pool.fill(30)
    batch = pool.claim(0, 30)
    assert ids(batch.items) == [item.id for item in sorted(pool.items(), key=lambda item: item.shuffle)]
    assert (batch.round, batch.labels_behind, batch.remaining) == (0, 0, 30)
    assert {(item.score, item.reason, item.label) for item in batch.items} == {(None, None, None)}
    assert {lease.mechanism for lease in pool.live()} == {"exploration"}
    assert [lease.probability for lease in pool.live()] == [1 / left for left in range(30, 0, -1)]


def test_what_is_drawn_is_one_of_those_that_nobody_holds_and_that_were_left(pool: Pool) -> None:
    pool.fill(100)
    pool.rank(*range(50))
    pool.claim(0, 20)
    pool.claim(1, 30)
    drawn = {lease.position: lease for lease in pool.live() if lease.user_id == pool.users[1]}
    explored = {place: lease.probability for place, lease in drawn.items() if lease.mechanism == "exploration"}
    assert explored == {place: 1 / (80 - place) for place in (9, 19, 29)}


def test_near_duplicates_are_drawn_each_by_itself(pool: Pool) -> None:
    pool.add(*({"text": f"{word(i % 5)}{'!' * (i // 5 + 1)}"} for i in range(100)))
    groups = [item.group_digest for item in sorted(pool.items(), key=lambda item: item.shuffle)]
    assert len(set(groups)) == 5
    alike = sum(before == after for before, after in itertools.pairwise(groups))
    assert 8 <= alike <= 32, "a fifth of 99, as in any fair order"


def test_ranked_items_come_in_rank_order_with_one_in_ten_drawn_at_random(pool: Pool) -> None:
    pool.fill(200)
    numbers = list(range(199, 99, -1))
    assert pool.rank(*numbers) == 100
    batch = pool.claim(0, 50)
    ranked = [item for item in batch.items if item.score is not None]
    by_id = {item.id: item.number for item in pool.items()}
    drawn = {item.item_id for item in batch.items if item.score is None}
    assert len(drawn) == 5
    wanted = [number for number in numbers if number not in {by_id[i] for i in drawn}][:45]
    got = [by_id[item.item_id] for item in ranked]
    assert got == [number for number in numbers if number in got]
    assert set(got) <= set(wanted) | {by_id[i] for i in drawn} | set(numbers[:50])
    assert len(got) == 45
    assert batch.round == 1
    assert {item.label for item in ranked} == {"spam"}


def test_when_ranked_rows_run_out_the_rest_comes_at_random(pool: Pool) -> None:
    pool.fill(20)
    pool.rank(3, 4)
    batch = pool.claim(0, 20)
    assert len(batch.items) == 20
    assert batch.round == 1
    pool.expire()
    for item in batch.items[:10]:
        pool.label(0, item.item_id)
    pool.rank()
    rest = pool.claim(0, 20)
    assert (len(rest.items), rest.round, rest.labels_behind) == (10, 0, 10)


def test_nobody_gets_what_is_held_labelled_or_skipped_by_them(pool: Pool) -> None:
    pool.fill(4)
    first = ids(pool.claim(0, 2).items)
    second = ids(pool.claim(1, 4).items)
    assert len(second) == 2
    assert not set(first) & set(second)
    assert pool.claim(0).items == []
    pool.label(0, first[0])
    pool.write(0, {"item": first[1], "skip": True})
    assert pool.claim(0, 4).items == []
    assert ids(pool.claim(2, 4).items) == [first[1]]


def test_overlap_counts_leases_and_labels(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=False, overlap=2)
    pool.fill(1)
    (item,) = ids(pool.claim(0).items)
    pool.label(0, item)
    assert ids(pool.claim(1).items) == [item]
    assert pool.claim(2).items == []
    assert pool.claim(0).items == []
    pool.expire()
    assert ids(pool.claim(2).items) == [item]


def test_an_expired_lease_is_served_again_and_keeps_its_id_for_the_same_person(pool: Pool) -> None:
    pool.fill(1)
    first = pool.claim(0).items[0]
    pool.expire()
    other = pool.claim(1).items[0]
    assert other.lease_id != first.lease_id
    pool.expire()
    assert pool.claim(0).items[0].lease_id == first.lease_id


def test_a_lease_holds_until_the_very_moment_when_it_ends(pool: Pool) -> None:
    pool.fill(1)
    held = pool.claim(0).items[0]
    assert pool.claim(1, now=held.expires_at - timedelta(microseconds=1)).items == []
    assert ids(pool.claim(1, now=held.expires_at).items) == [held.item_id]
    pool.expire()
    again = pool.claim(0).items[0]
    assert ids(pool.claim(0, now=again.expires_at).items) == [held.item_id], "also for whoever held it"


def test_leases_last_as_long_as_asked_else_a_minute_an_item(pool: Pool) -> None:
    pool.fill(30)
    now = utcnow()
    assert pool.claim(0, 1, now=now).items[0].expires_at == now + timedelta(seconds=300)
    assert pool.claim(0, 10, now=now).items[0].expires_at == now + timedelta(seconds=600)
    assert pool.claim(0, 10, lease_seconds=5, now=now).items[0].expires_at == now + timedelta(seconds=5)


def test_a_queue_swap_leaves_leases_alone_and_drops_what_is_done(pool: Pool) -> None:
    pool.fill(10)
    pool.rank(*range(10))
    held = ids(pool.claim(0, 3).items)
    pool.label(0, held[0])
    by_id = {item.id: item.number for item in pool.items()}
    assert pool.rank(*range(10), round_n=2) == 9
    assert len(pool.live()) == 2
    again = pool.claim(1, 10)
    assert not set(held) & set(ids(again.items))
    assert len(again.items) == 7
    assert again.round == 2
    assert by_id[held[0]] not in {by_id[i] for i in ids(again.items)}


def test_labels_behind_counts_what_the_ranking_does_not_know(pool: Pool) -> None:
    pool.fill(20)
    for item in ids(pool.claim(0, 4).items):
        pool.label(0, item)
    pool.rank(*range(20))
    assert pool.claim(0).labels_behind == 0
    more = ids(pool.claim(0, 3).items)
    labels = [pool.label(0, item) for item in more]
    assert pool.claim(1).labels_behind == 3
    pool.undo(0, labels[0])
    assert pool.claim(1).labels_behind == 2


def test_the_holdout_is_mixed_in_says_nothing_and_is_never_ranked(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.3)
    pool.fill(400)
    held = {item.id for item in pool.items() if item.split == "holdout"}
    assert pool.rank(*range(400)) == 400 - len(held)
    batch = pool.claim(0, 100)
    assert len(set(ids(batch.items)) & held) == 30
    leases = Counter(lease.mechanism for lease in pool.live())
    assert leases == {"holdout": 30, "exploration": 7, "strategy": 63}
    for item in batch.items:
        if item.item_id in held:
            assert (item.score, item.reason, item.label) == (None, None, None)
    places = [place for place, item in enumerate(batch.items) if item.item_id in held]
    assert max(b - a for a, b in itertools.pairwise(places)) <= 4


def test_single_claims_are_mixed_like_batches(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.3)
    pool.fill(300)
    pool.rank(*range(300))
    rounds = {pool.claim(0).round for _ in range(50)}
    assert rounds == {1}
    assert Counter(lease.mechanism for lease in pool.live()) == {"holdout": 15, "exploration": 3, "strategy": 32}


def test_measuring_falls_to_a_trickle_once_it_is_precise(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.5, people=1)
    pool.fill(600)
    done = 0
    while done < 200:
        for item in ids(pool.claim(0, 50).items):
            pool.label(0, item)
            done += 1
    assert pool.project.n_holdout_labels == 60
    pool.rank(*range(600))

    def measure(half: float) -> Counter[str]:
        with database.write() as session:
            metrics = {"accuracy": {"value": 0.9, "low": 0.9 - half, "high": 0.9 + half, "labels": 60}}
            session.merge(
                Round(
                    project_id=pool.project_id,
                    n=1,
                    state="trained",
                    cutoff=0,
                    labels=0,
                    metrics=metrics,
                    costs={},
                    started_at=utcnow(),
                )
            )
        pool.claim(0, 50)
        mix = Counter(lease.mechanism for lease in pool.live())
        pool.expire()
        return mix

    assert measure(0.08)["holdout"] == 15
    assert measure(0.045)["holdout"] == 1


def test_own_test_rows_replace_the_holdout(database: Database, settings: Settings) -> None:
    pool = Pool.make(database, settings, holdout=0.5)
    pool.fill(100)
    pool.rank(*range(100))
    pool.add({"text": "mine", "label": "spam", "split": "test"})
    assert "holdout" not in {lease.mechanism for lease in pool.live()}
    pool.claim(0, 40)
    assert Counter(lease.mechanism for lease in pool.live())["holdout"] == 0
    assert len(pool.claim(0, 100).items) == 60


def test_the_streams_are_spread_evenly() -> None:
    streams = Counter(stream_of(slot, 30) for slot in range(1000))
    assert streams == {"holdout": 300, "exploration": 70, "strategy": 630}
    assert Counter(stream_of(slot, 0) for slot in range(1000)) == {"exploration": 100, "strategy": 900}


def test_leases_are_listed_renewed_and_given_back(pool: Pool) -> None:
    pool.fill(3)
    held = pool.claim(0, 3).items
    with pool.database.write() as session:
        project = counted_project(session, pool.project_id)
        assert ids(list_leases(session, project, pool.users[0])) == ids(held)
        assert list_leases(session, project, pool.users[1]) == []
        renewed = renew_lease(session, project, pool.users[0], held[0].lease_id)
        assert renewed.expires_at > held[0].expires_at
        release_lease(session, project, pool.users[0], held[1].lease_id)
        for call in (renew_lease, release_lease):
            with pytest.raises(NotFound):
                call(session, project, pool.users[1], held[0].lease_id)
    assert ids(pool.claim(1, 3).items) == [held[1].item_id]


def test_a_lease_that_ran_out_is_renewed_only_while_the_item_is_free(pool: Pool) -> None:
    pool.fill(1)
    held = pool.claim(0).items[0]
    pool.expire()

    def renew() -> None:
        with pool.database.write() as session:
            renew_lease(session, counted_project(session, pool.project_id), pool.users[0], held.lease_id)

    renew()
    assert len(pool.live()) == 1
    pool.expire()
    pool.claim(1)
    with pytest.raises(Conflict):
        renew()


def test_hundreds_of_leases_at_the_head_do_not_end_the_order(pool: Pool) -> None:
    pool.fill(500)
    pool.rank(*range(500))
    seen: set[int] = set()
    for _ in range(5):
        batch = ids(pool.claim(0, 100).items)
        assert len(batch) == 100
        seen |= set(batch)
    assert len(seen) == 500
    assert pool.claim(1).items == []


def test_racing_claims_never_meet(pool: Pool) -> None:
    pool.fill(60)
    pool.rank(*range(30))
    got: list[int] = []
    start = threading.Barrier(3)

    def work(person: int) -> None:
        start.wait()
        while items := pool.claim(person, 4).items:
            got.extend(ids(items))

    threads = [threading.Thread(target=work, args=(person,)) for person in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [item.id for item in pool.items()]
