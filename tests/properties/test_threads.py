"""Several people at the same moment, each through a connection of their own.

Every act writes down what came of it while it holds the project's lock. If the lock serialises them, the reference,
told of them in that order, agrees with each; a reader looks at the tables meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from tests.properties.clock import Clock
from tests.properties.profiles import bounded, patient, tell
from tests.properties.recount import Recount
from tests.properties.reference import Reference
from tests.properties.world import Claimed, World
from winnow.db.session import Database
from winnow.labels import Accepted
from winnow.settings import Settings

PEOPLE = 3
#: The fourth works in the name of the first: one person with two pages open.
THREADS = 4
DEADLINE = 120.0

places = st.integers(0, 30)
answers = st.sampled_from([{"label": "spam"}, {"label": "ham"}, {"label": "ham"}, {"skip": True}, {"flag": "odd"}])
acts = st.one_of(
    st.tuples(st.just("claim"), st.integers(1, 4)),
    st.tuples(st.just("answer_held"), places, answers, st.none() | st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("answer_held"), places, answers, st.none()),
    st.tuples(st.just("answer_any"), places, answers, st.sampled_from(["r1", "r2", "r3"])),
    st.tuples(st.just("undo"), places),
    st.tuples(st.just("renew"), places),
    st.tuples(st.just("release"), places),
    st.tuples(st.just("set_overlap"), st.integers(1, 3)),
    st.tuples(st.just("publish"), st.permutations(range(12))),
    st.tuples(st.just("add"), st.sampled_from(["k1", "k2", "k3"]), st.sampled_from([{}, {"label": "spam"}])),
)
plans = st.lists(
    st.lists(st.lists(acts, min_size=4, max_size=12), min_size=THREADS, max_size=THREADS), min_size=1, max_size=3
)


class Hand:
    """One thread: it knows what it was handed and what it said, as a page does."""

    def __init__(self, world: World, place: int, rounds: Iterator[int]) -> None:
        self.world = world
        self.person = place % PEOPLE
        self.rounds = rounds
        self.held: list[tuple[int, int]] = []
        self.said: list[int] = []
        self.items: list[int] = []

    def run(self, acts: list[Any]) -> None:
        for name, *arguments in acts:
            getattr(self, name)(*arguments)

    def _mine(self) -> Any:
        """What came of this thread's last act; others write to the same log."""
        return self.world.told

    def claim(self, size: int) -> None:
        self.world.claim(self.person, size)
        if isinstance(self._mine(), Claimed):
            self.held += [(lease.item, lease.id) for lease in self._mine().leases]

    def _write(self, entry: dict[str, Any]) -> None:
        self.world.write(self.person, [entry])
        accepted: list[Accepted] = self._mine()[0]
        self.said += [answer.label_id for answer in accepted]

    def answer_held(self, place: int, answer: dict[str, Any], request: str | None) -> None:
        if self.held:
            item, lease = self.held.pop(place % len(self.held))
            named = {} if request is None else {"request_id": request}
            self._write({"item": str(item), "lease": str(lease), **answer, **named})

    def answer_any(self, place: int, answer: dict[str, Any], request: str) -> None:
        self._write({"item": str(self.items[place % len(self.items)]), **answer, "request_id": request})

    def undo(self, place: int) -> None:
        if self.said:
            self.world.undo(self.person, self.said[-1 - place % len(self.said)])

    def renew(self, place: int) -> None:
        if self.held:
            self.world.renew(self.person, self.held[place % len(self.held)][1])

    def release(self, place: int) -> None:
        if self.held:
            self.world.release(self.person, self.held.pop(place % len(self.held))[1])

    def set_overlap(self, overlap: int) -> None:
        self.world.set_overlap(overlap)

    def publish(self, numbers: list[int]) -> None:
        self.world.publish(numbers, next(self.rounds), max(self.said, default=0))

    def add(self, key: str, more: dict[str, str]) -> None:
        self.world.add([{"text": f"item {key}", "key": key, **more}], "merge_labels")


def together(jobs: list[Callable[[], None]]) -> None:
    """Run ``jobs`` at the same time, each in a thread; the first thing that any of them raises is raised here."""
    start = threading.Barrier(len(jobs))
    raised: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            start.wait()
            job()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "it waits for something that does not come"
    if raised:
        raise raised[0]


@contextmanager
def watched(recount: Recount, database: Database) -> Iterator[None]:
    """Look at the tables, over and over, until the work is done."""
    done = threading.Event()
    raised: list[BaseException] = []

    def watch() -> None:
        try:
            while not done.is_set():
                recount.check_meanwhile(database)
        except BaseException as error:
            raised.append(error)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(DEADLINE)
    if raised:
        raise raised[0]


@patient
def test_what_happens_at_once_is_as_if_one_thing_came_after_another(
    database: Database, settings: Settings, clock: Clock, request: pytest.FixtureRequest
) -> None:
    done = {"examples": 0, "acts": 0}

    # Not shrunk: what threads do is not the same twice.
    @bounded(10, phases=(Phase.generate,))
    @given(plan=plans, setting=st.sampled_from([False, 0.3]), overlap=st.integers(1, 2))
    def run(plan: list[list[list[Any]]], setting: Any, overlap: int) -> None:
        world = World.make(database, settings, clock, PEOPLE, holdout=setting, overlap=overlap)
        reference, recount = Reference(world.people, setting, overlap), Recount(world)
        world.add([{"text": f"item {n}", "key": f"i{n}"} for n in range(8)])
        rounds, seen = count(1), 0
        hands = [Hand(world.on(engine), place, rounds) for place, engine in enumerate(engines)]
        for phase in plan:
            for hand in hands:
                hand.items = [row.id for row in world.log[0].outcome.items]
            with watched(recount, watcher):
                together([partial(hand.run, acts) for hand, acts in zip(hands, phase, strict=True)])
            for event in world.log[seen:]:
                reference.take(event)
            seen = len(world.log)
            recount.check(reference)
            recount.check_shown(reference)
            clock.advance(301)
        done["examples"] += 1
        done["acts"] += len(world.log)

    with ExitStack() as stack:
        engines = [Database(database.url, pool_size=1) for _ in range(THREADS)]
        watcher = Database(database.url, pool_size=1)
        for engine in (*engines, watcher):
            stack.callback(engine.dispose)
        run()
    tell(
        request.config,
        f"{done['examples']} examples, {done['acts']} acts at the same time on {database.engine.dialect.name}",
    )
