"""Several people on one project, doing anything in any order, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.properties.clock import Clock
from tests.properties.profiles import bounded, patient, tell
from tests.properties.recount import Recount
from tests.properties.reference import Reference
from tests.properties.state import Grant, Said
from tests.properties.world import World
from winnow.db.session import Database
from winnow.settings import Settings

PEOPLE = 4
holdouts = st.sampled_from([False, 0.3, {"precision": 0.4}])
modes = st.sampled_from(["skip", "update", "merge_labels"])
classes = st.sampled_from(["spam", "ham"])
people = st.integers(0, PEOPLE - 1)
places = st.integers(0, 60)
answers = st.sampled_from(
    [{"label": "spam"}, {"label": "ham"}, {"label": "spam"}, {"skip": True}, {"flag": "two languages"}]
)
requests = st.none() | st.sampled_from(["r1", "r2", "r3"])
words = st.sampled_from([f"{a}{b}" for a in "bcdfg" for b in "aeiou"])
rows = st.lists(
    st.fixed_dictionaries(
        {"text": words},
        optional={"key": st.sampled_from(["k1", "k2", "k3", "k4"]), "label": classes},
    ),
    min_size=1,
    max_size=4,
    unique_by=(lambda row: row["text"], lambda row: row.get("key", row["text"])),
)


class Labeling(RuleBasedStateMachine):
    """``database`` and ``clock`` are the same for all examples; a project lives for one."""

    database: Database
    settings: Settings
    clock: Clock
    examples = steps = 0

    world: World
    reference: Reference
    recount: Recount

    @initialize(
        size=st.integers(0, 10), setting=st.sampled_from([False, 0.3, {"precision": 0.4}]), overlap=st.integers(1, 3)
    )
    def begin(self, size: int, setting: Any, overlap: int) -> None:
        type(self).examples += 1
        self.world = World.make(self.database, self.settings, self.clock, PEOPLE, holdout=setting, overlap=overlap)
        self.reference = Reference(self.world.people, setting, overlap)
        self.recount = Recount(self.world)
        self.snapshot: tuple[int, list[int]] | None = None
        if size:
            self.world.add([{"text": f"item {n}", "key": f"i{n}"} for n in range(size)])
        self._take()

    def _take(self) -> None:
        """Have the reference look at what was done since."""
        for event in self.world.log:
            self.reference.take(event)
        self.world.log.clear()
        self.clock.advance(0.001)

    # Who and what

    def _place(self, user: int | None) -> int:
        return next(place for place, person in enumerate(self.world.people) if person.user_id == user)

    def _live(self) -> list[Grant]:
        return [grant for grant in self.reference.grants.values() if grant.until > self.clock.now]

    def _standing(self) -> list[Said]:
        return [said for said in self.reference.said.values() if said.stands and said.user is not None]

    def _item(self, place: int) -> int:
        items = list(self.reference.items)
        return items[place % len(items)] if items and place < 60 else 10**9

    def _entry(self, item: int, answer: dict[str, Any], request: str | None, **more: Any) -> dict[str, Any]:
        named = {} if request is None else {"request_id": request}
        return {"item": str(item), **answer, **named, **more}

    # Acts

    @rule(person=people, size=st.integers(1, 6), seconds=st.sampled_from([None, None, 5, 1000]))
    def claim(self, person: int, size: int, seconds: float | None) -> None:
        self.world.claim(person, size, seconds)
        self._take()

    @rule(person=people)
    def claim_one(self, person: int) -> None:
        self.world.claim(person, 1)
        self._take()

    @precondition(lambda self: self._live())
    @rule(place=places, answer=answers, request=requests, named=st.booleans())
    def answer_what_one_holds(self, place: int, answer: dict[str, Any], request: str | None, named: bool) -> None:
        grant = self._live()[place % len(self._live())]
        more = {"lease": str(grant.lease)} if named else {}
        self.world.write(self._place(grant.user), [self._entry(grant.item, answer, request, seconds=1.5, **more)])
        self._take()

    @rule(person=people, place=places, answer=answers, request=requests)
    def answer_anything(self, person: int, place: int, answer: dict[str, Any], request: str | None) -> None:
        self.world.write(person, [self._entry(self._item(place), answer, request)])
        self._take()

    @precondition(lambda self: self.reference.grants)
    @rule(person=st.none() | people, place=places, answer=answers)
    def answer_late_or_under_a_foreign_lease(self, person: int | None, place: int, answer: dict[str, Any]) -> None:
        grants = list(self.reference.grants.values())
        grant = grants[place % len(grants)]
        sender = self._place(grant.user) if person is None else person
        self.world.write(sender, [self._entry(grant.item, answer, None, lease=str(grant.lease))])
        self._take()

    @rule(
        person=people,
        entries=st.lists(st.tuples(places, answers | st.just({"label": "eggs"}), requests), min_size=2, max_size=4),
    )
    def answer_several(self, person: int, entries: list[Any]) -> None:
        self.world.write(person, [self._entry(self._item(place), answer, rid) for place, answer, rid in entries])
        self._take()

    @precondition(lambda self: self.reference.requests)
    @rule(place=places, other=st.sampled_from([{}, {}, {"label": "ham"}, {"seconds": 9.0}]), person=people)
    def replay(self, place: int, other: dict[str, Any], person: int) -> None:
        """The same request again, sometimes with another body; somebody else's request of that name is their own."""
        requests = list(self.reference.requests.items())
        (user, request), (body, _) = requests[place % len(requests)]
        sender = self._place(user) if place % 4 else person
        changed = {k: v for k, v in body.items() if k not in ("label", "skip", "flag")} if "label" in other else body
        self.world.write(sender, [{**changed, **other, "request_id": request}])
        self._take()

    @precondition(lambda self: self._standing())
    @rule(place=places)
    def undo(self, place: int) -> None:
        said = self._standing()[-1 - place % len(self._standing())]
        self.world.undo(self._place(said.user), said.id)
        self._take()

    def _taken_over(self) -> list[Said]:
        """The skips and flags that stand on what somebody else holds."""
        live = self._live()
        return [
            said
            for said in self._standing()
            if said.kind != "label" and any(grant.item == said.item and grant.user != said.user for grant in live)
        ]

    @precondition(lambda self: self._taken_over())
    @rule(place=places)
    def undo_a_skip_of_what_somebody_else_holds(self, place: int) -> None:
        said = self._taken_over()[place % len(self._taken_over())]
        self.world.undo(self._place(said.user), said.id)
        self._take()

    @precondition(lambda self: self.reference.said)
    @rule(person=people, place=places)
    def undo_anything(self, person: int, place: int) -> None:
        """Also what is somebody else's, an import's, or undone already."""
        said = list(self.reference.said.values())
        self.world.undo(person, said[place % len(said)].id)
        self._take()

    @precondition(lambda self: self.reference.grants)
    @rule(person=st.none() | people, place=places, renew=st.booleans())
    def renew_or_release(self, person: int | None, place: int, renew: bool) -> None:
        grants = list(self.reference.grants.values())
        grant = grants[place % len(grants)]
        act = self.world.renew if renew else self.world.release
        act(self._place(grant.user) if person is None else person, grant.lease)
        self._take()

    @rule(seconds=st.sampled_from([4.999, 5, 100, 299, 301, 2000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: any(g.until > self.clock.now for g in self.reference.grants.values()))
    @rule(person=st.none() | people, size=st.integers(1, 6))
    def time_passes_to_the_very_moment_when_a_lease_ends(self, person: int | None, size: int) -> None:
        """Somebody claims in that moment, or whatever comes next happens in it."""
        self.clock.now = min(g.until for g in self.reference.grants.values() if g.until > self.clock.now)
        if person is not None:
            self.world.claim(person, size)
            self._take()

    @rule(overlap=st.integers(1, 3))
    def change_the_overlap(self, overlap: int) -> None:
        self.world.set_overlap(overlap)
        self._take()

    @rule(
        rows=rows,
        on_duplicate=st.sampled_from(["skip", "update", "merge_labels"]),
        labels=st.sampled_from(["use", "use", "ignore"]),
    )
    def import_rows(self, rows: list[dict[str, Any]], on_duplicate: str, labels: str) -> None:
        self.world.add(self._unlike(rows), on_duplicate, labels)
        self._take()

    @precondition(lambda self: self.reference.items)
    @rule(
        place=places,
        label=st.sampled_from(["spam", "ham"]),
        mode=st.sampled_from(["update", "merge_labels"]),
        split=st.sampled_from(["pool", "pool", "test"]),
    )
    def import_a_label_for_what_is_there(self, place: int, label: str, mode: str, split: str) -> None:
        items = list(self.reference.items.values())
        item = items[place % len(items)]
        named = {} if item.key is None else {"key": item.key}
        self.world.add([{"text": item.text, "label": label, "split": split, **named}], mode)
        self._take()

    @rule(n=st.integers(1, 4))
    def import_many(self, n: int) -> None:
        first = len(self.reference.items)
        self.world.add([{"text": f"more {first + i}"} for i in range(n)])
        self._take()

    def _unlike(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of one call that are different items: by key, or by text where they have none."""
        kept: list[dict[str, Any]] = []
        met: set[int] = set()
        for row in rows:
            known = self.reference._known(row)
            if known is None or known not in met:
                kept.append(row)
            if known is not None:
                met.add(known)
        return kept

    @precondition(lambda self: self.snapshot is None and self.reference.items)
    @rule()
    def begin_a_round(self) -> None:
        self.world.begin_round()
        self.snapshot = (self.world.told, [row.number for row in self.reference.items.values()])
        self._take()

    @precondition(lambda self: self.reference.items)
    @rule(order=st.randoms(use_true_random=False))
    def a_round_ends_at_once(self, order: Any) -> None:
        self.world.begin_round()
        self.snapshot = (self.world.told, [row.number for row in self.reference.items.values()])
        self.publish_a_round(order, 1.0)

    @precondition(lambda self: self.snapshot is not None)
    @rule(order=st.randoms(use_true_random=False), share=st.sampled_from([1.0, 1.0, 0.5, 0.0]))
    def publish_a_round(self, order: Any, share: float) -> None:
        """What was begun, however long ago: items that want a second opinion first, the others in any order."""
        assert self.snapshot is not None
        cutoff, numbers = self.snapshot
        order.shuffle(numbers)
        wanted = {self.reference.items[i].number for i in self.reference.items if self.reference.labels(i)}
        numbers.sort(key=lambda number: number not in wanted)
        self.world.publish(numbers[: int(share * len(numbers))], self.reference.ranked_round + 1, cutoff)
        self.snapshot = None
        self._take()

    @rule(person=people, archive=st.booleans(), seconds=st.sampled_from([0, 0, 301]))
    def the_project_or_somebody_goes_and_comes_back(self, person: int, archive: bool, seconds: float) -> None:
        """Meanwhile nothing is done there; what was said stays."""
        self.world.archive() if archive else self.world.leave(person)
        self.world.claim(person, 2)
        self.world.write(person, [self._entry(self._item(0), {"label": "spam"}, None)])
        for grant in [grant for grant in self._live() if self._place(grant.user) == person][:1]:
            self.world.renew(person, grant.lease)
        self._take()
        self.clock.advance(seconds)
        self.world.restore() if archive else self.world.come_back(person)
        self._take()

    @rule()
    def look_at_what_is_shown(self) -> None:
        self.recount.check_shown(self.reference)

    @invariant()
    def the_tables_agree(self) -> None:
        if hasattr(self, "recount"):
            type(self).steps += 1
            self.recount.check(self.reference)

    def teardown(self) -> None:
        if hasattr(self, "recount"):
            self.recount.check_shown(self.reference)


@patient
def test_whatever_people_do_the_contract_holds(
    database: Database, settings: Settings, clock: Clock, request: pytest.FixtureRequest
) -> None:
    class Machine(Labeling):
        pass

    Machine.database, Machine.settings, Machine.clock = database, settings, clock
    run_state_machine_as_test(Machine, settings=bounded(40))
    tell(request.config, f"{Machine.examples} examples, {Machine.steps} steps on {database.engine.dialect.name}")
