"""What must hold, in plain Python: a project as the contract describes it, told of every act and of what came of it.

Nothing here is taken from the service. Each method takes the outcome of one act, compares it with what had to come of
it, and moves on. What the contract leaves to chance (ids, which items are held out) is taken over from the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.properties.state import Grant, Queued, Said, State
from tests.properties.world import CLASSES, Added, Claimed, Event, ItemRow, LeaseRow
from winnow.errors import Conflict, NotFound, WinnowError

LEASE_SECONDS = 300.0
ANSWERS = ("label", "skip", "flag")


class Reference(State):
    """A :class:`State` that moves on with each act."""

    def take(self, event: Event) -> None:
        """Compare what came of an act with what had to, and move on."""
        person = event.arguments.get("person")
        barred = event.name in ("claim", "write", "undo", "renew", "release") and (self.archived or person in self.gone)
        if barred:
            assert isinstance(event.outcome, NotFound), "nobody works on a project that they are not let in to"
            return
        act: Callable[..., None] = getattr(self, event.name)
        arguments = {name: value for name, value in event.arguments.items() if name != "person"}
        if person is not None:
            arguments["user"] = self.people[person].user_id
        act(event.outcome, event.now, **arguments)

    def claim(self, out: Any, now: datetime, user: int, size: int, lease_seconds: float | None) -> None:
        assert isinstance(out, Claimed), out
        free = self.servable(user, now)
        given = [item.item_id for item in out.items]
        assert len(given) == min(size, len(free)), "a batch is short, or empty, only when nothing is left"
        assert len(set(given)) == len(given)
        assert set(given) <= free
        self._check_order(out, given, free, user, now)
        self._check_shares(out, given, free)
        if any(lease.mechanism == "strategy" for lease in out.leases):
            assert out.round == self.ranked_round
        if not self.queue:
            assert out.round == 0
        known = self.cutoff if out.round else 0
        assert out.labels_behind == sum(said.id > known for said in self.human_labels())
        seconds = lease_seconds if lease_seconds is not None else max(LEASE_SECONDS, 60.0 * size)
        for item, lease in zip(out.items, out.leases, strict=True):
            assert (lease.item, lease.user, lease.created_at, lease.seconds) == (item.item_id, user, now, seconds)
            assert lease.expires_at == item.expires_at == now + timedelta(seconds=seconds)
            self._grant(lease)
        assert out.remaining == self.remaining()

    def _grant(self, lease: LeaseRow) -> None:
        known = self.grants.get((lease.item, lease.user))
        assert known is None or known.lease == lease.id, "a lease of the same item and person keeps its id"
        self.grants[lease.item, lease.user] = Grant(
            lease.id,
            lease.item,
            lease.user,
            lease.seconds,
            lease.created_at,
            lease.expires_at,
            lease.position,
            lease.mechanism,
            lease.probability,
            lease.round,
        )

    def _check_order(self, out: Claimed, given: Sequence[int], free: set[int], user: int, now: datetime) -> None:
        """Every prefix: a ranked item is the best that was left, a drawn one the next in the seeded order."""
        left = set(free)
        open_now = Counter(self.items[item].split for item in self.items if self._undrawn(item, user, now))
        for item, shown, lease in zip(given, out.items, out.leases, strict=True):
            facts = (shown.score, shown.reason, shown.label)
            split = self.items[item].split
            if lease.mechanism == "strategy":
                place = next(i for i, entry in enumerate(self.queue) if entry.item in left)
                best = self.queue[place]
                assert item == best.item, "a ranked item is the best of those that are left"
                assert split == "pool"
                assert facts[1:] == (f"reason {best.number}", CLASSES[best.number % 2])
                assert (lease.round, lease.probability) == (best.round, None)
            else:
                assert lease.mechanism == {"pool": "exploration", "holdout": "holdout"}[split]
                alike = [i for i in left if self.items[i].split == split]
                assert item == min(alike, key=lambda i: (self.items[i].shuffle, i)), "the seeded order"
                assert facts == (None, None, None), "nothing is said of what is drawn at random"
                assert lease.probability == 1 / open_now[split], "one of those that were left of its kind"
            left.remove(item)
            open_now[split] -= 1

    def _undrawn(self, item: int, user: int, now: datetime) -> bool:
        """Whether an item may be drawn, whatever the caller has said of it before."""
        holders = self.holders(item, now)
        free = len(self.labels(item)) + len(holders) < self.overlap
        return self.needs_labels(item) and free and all(grant.user != user for grant in holders)

    def _check_shares(self, out: Claimed, given: Sequence[int], free: set[int]) -> None:
        """Three in ten are measured on, and one in ten of the rest drawn at random, where there are enough of each."""
        size, splits = len(given), [self.items[item].split for item in free]
        measuring = self.holdout is not False and all(row.split != "test" for row in self.items.values())
        ranked = [entry for entry in self.queue if entry.item in free]
        if min(splits.count("pool"), len(ranked)) < size or (measuring and splits.count("holdout") < size):
            return
        drawn = [lease.mechanism for lease in out.leases]
        held_out = 0.3 * size if measuring else 0.0
        assert abs(drawn.count("holdout") - held_out) < 1
        assert abs(drawn.count("exploration") - 0.1 * (size - held_out)) < 1 + 0.1

    def write(self, out: Any, now: datetime, user: int, entries: Sequence[Mapping[str, Any]]) -> None:
        accepted, rejected = out
        answers, refusals = list(accepted), list(rejected)
        for entry in entries:
            body = {name: value for name, value in entry.items() if name != "request_id"}
            request = (user, entry["request_id"]) if "request_id" in entry else None
            if request in self.requests:
                first, answer = self.requests[request]
                if first == body:
                    got = answers.pop(0)
                    assert (got.item_id, got.label_id) == answer, "a request_id brings its first answer again"
                else:
                    refused = refusals.pop(0)
                    assert (refused.item, "request_id" in refused.reason) == (entry["item"], True)
            elif self._valid(entry, user):
                got = answers.pop(0)
                assert got.item_id == int(entry["item"])
                self._say(got.label_id, user, entry, now)
                if request is not None:
                    self.requests[request] = (body, (got.item_id, got.label_id))
            else:
                assert refusals.pop(0).item == entry["item"]
        assert not answers
        assert not refusals
        for answer in accepted:  # a label and then a skip of the same item in one request leave it as it was
            self._drop_if_done(answer.item_id)

    def _valid(self, entry: Mapping[str, Any], user: int) -> bool:
        item = self.items.get(int(entry["item"]))
        if item is None or item.split == "test" or entry.get("label", CLASSES[0]) not in CLASSES:
            return False
        if "lease" not in entry:
            return True
        grant = self.grants.get((item.id, user))
        return grant is not None and grant.lease == int(entry["lease"])

    def _say(self, label_id: int, user: int, entry: Mapping[str, Any], now: datetime) -> None:
        """A new row of the history: it supersedes what the same person said, and, as a label, what an import did."""
        assert label_id > max(self.said, default=0)
        item = int(entry["item"])
        kind = next(name for name in ANSWERS if name in entry)
        grant = self.grants.get((item, user))
        drawn = (grant.mechanism, grant.probability, grant.round) if grant else ("review", None, self.ranked_round)
        for old in self.standing(item):
            if old.user == user or (kind == "label" and old.source == "import"):
                old.stands, old.by = False, label_id
        value = entry["label"] if kind == "label" else None
        self.said[label_id] = Said(label_id, item, user, kind, value, "human", *drawn)
        if grant is not None:
            grant.until = min(grant.until, now)
        self._make_room(item, user, now)

    def _make_room(self, item: int, user: int, now: datetime, reserved: int = 0) -> None:
        """Where labels and leases are more than the overlap, the newest leases of others end."""
        room = max(0, self.overlap - len(self.labels(item)) - reserved) if self.needs_labels(item) else 0
        for grant in [grant for grant in self.holders(item, now) if grant.user != user][room:]:
            grant.until = now

    def undo(self, out: Any, now: datetime, user: int, label_id: int) -> None:
        said = self.said.get(label_id)
        if said is None or said.user != user:
            assert isinstance(out, NotFound), out
            return
        if not said.stands:
            assert isinstance(out, Conflict), out
            return
        said.stands = False
        self._make_room(said.item, user, now, reserved=1)
        seconds = max(LEASE_SECONDS, 60.0)
        until = now + timedelta(seconds=seconds) if self.needs_labels(said.item) else now
        assert (out.item_id, out.expires_at) == (said.item, until), "whoever undoes holds the item"
        assert (out.score, out.reason, out.label) == (None, None, None)
        known = self.grants.get((said.item, user))
        assert known is None or known.lease == out.lease_id
        drawn = (said.mechanism or "review", said.probability, said.round)
        self.grants[said.item, user] = Grant(out.lease_id, said.item, user, seconds, now, until, 0, *drawn)

    def _own(self, out: Any, user: int, lease_id: int) -> Grant | None:
        mine = next((g for g in self.grants.values() if (g.lease, g.user) == (lease_id, user)), None)
        assert mine is not None or isinstance(out, NotFound), out
        return mine

    def renew(self, out: Any, now: datetime, user: int, lease_id: int) -> None:
        grant = self._own(out, user, lease_id)
        if grant is None:
            return
        if grant.until <= now and grant.item not in self.servable(user, now):
            assert isinstance(out, Conflict), out
            return
        grant.until = now + timedelta(seconds=grant.seconds)
        assert out == grant.until

    def release(self, out: Any, now: datetime, user: int, lease_id: int) -> None:
        grant = self._own(out, user, lease_id)
        if grant is not None:
            assert out is None
            grant.until = min(grant.until, now)

    def set_overlap(self, out: set[int], now: datetime, overlap: int) -> None:
        """Where a lowered overlap leaves no room for every lease of an item, its leases end; no other one does."""
        self.overlap = overlap
        for item in self.items:
            holders = self.holders(item, now)
            crowded = len(holders) + len(self.labels(item)) > overlap
            for grant in holders:
                if crowded and grant.lease not in out:
                    grant.until = now
            self._drop_if_done(item)

    def _drop_if_done(self, item: int) -> None:
        if not self.needs_labels(item):
            self.queue = [entry for entry in self.queue if entry.item != item]

    def begin_round(self, out: int, now: datetime) -> None:
        assert out == max(self.said, default=0)
        self.round_labels = len(self.human_labels())

    def publish(self, out: int, now: datetime, numbers: Sequence[int], round_n: int, cutoff: int) -> None:
        """Leases are left alone; what can no longer be served, or is held out, does not get in."""
        by_number = {row.number: row.id for row in self.items.values()}
        found = [by_number[number] for number in dict.fromkeys(numbers) if number in by_number]
        kept = [item for item in found if self.items[item].split == "pool" and self.needs_labels(item)]
        self.queue = [Queued(item, round_n, self.items[item].number) for item in kept]
        self.ranked_round, self.cutoff = round_n, cutoff
        assert out == len(kept)

    def archive(self, out: Any, now: datetime) -> None:
        assert not isinstance(out, WinnowError), out
        self.archived = True
        for grant in self.grants.values():
            grant.until = min(grant.until, now)

    def restore(self, out: Any, now: datetime) -> None:
        assert not isinstance(out, WinnowError), out
        self.archived = False

    def leave(self, out: Any, now: datetime, user: int) -> None:
        assert not isinstance(out, WinnowError), out
        self.gone.add(next(place for place, person in enumerate(self.people) if person.user_id == user))
        self.grants = {key: grant for key, grant in self.grants.items() if grant.user != user}

    def come_back(self, out: Any, now: datetime, user: int) -> None:
        assert not isinstance(out, WinnowError), out
        self.gone.discard(next(place for place, person in enumerate(self.people) if person.user_id == user))

    # Imports

    def add(self, out: Added, now: datetime, rows: Sequence[Mapping[str, Any]], on_duplicate: str, labels: str) -> None:
        """No two of ``rows`` are the same item."""
        fresh = {row.id: row for row in out.items if row.id not in self.items}
        news = {label.item_id: label for label in out.labels}
        assert len(news) == len(out.labels)
        before, touched = dict(self.items), self._touched()
        known = [self._known(row) for row in rows]
        created = duplicates = 0
        rejected: list[int] = []
        for index, (row, item) in enumerate(zip(rows, known, strict=True)):
            label = row.get("label") if labels == "use" else None
            if row.get("split") == "test" and label is None:
                rejected.append(index)
            elif item is None:
                created += 1
                self._create(row, label, fresh, news)
            elif on_duplicate == "update" and not self._update(item, row, out.items, before, now):
                rejected.append(index)
            else:
                duplicates += 1
                if on_duplicate != "skip" and label is not None:
                    self._merge(item, row, label, on_duplicate, news, now)
        assert not fresh
        assert not news, "only these rows bring labels"
        got = out.result
        assert (got.created, got.duplicates, [i for i, _ in got.rejected]) == (created, duplicates, rejected)
        for row_ in out.items:
            self._follow(before, row_, touched)

    def _touched(self) -> set[int]:
        return {said.item for said in self.said.values()} | {grant.item for grant in self.grants.values()}

    def _known(self, row: Mapping[str, Any]) -> int | None:
        name = "key" if "key" in row else "text"
        same = [item.id for item in self.items.values() if getattr(item, name) == row[name]]
        return min(same, default=None)

    def _create(self, row: Mapping[str, Any], label: str | None, fresh: dict[int, ItemRow], news: Any) -> None:
        made = next(i for i in fresh.values() if i.text == row["text"] and i.key == row.get("key"))
        self.items[made.id] = fresh.pop(made.id)
        split = row.get("split", "pool")
        if label is not None:
            assert made.split == split, "what came with a label is never held out"
            self._import(news.pop(made.id), label)
        elif self.holdout is False or self._has_test_rows(besides=made.id):
            assert made.split == "pool"
        else:
            assert made.split in ("pool", "holdout")

    def _has_test_rows(self, besides: int) -> bool:
        return any(row.split == "test" for row in self.items.values() if row.id != besides)

    def _import(self, new: Any, label: str) -> None:
        assert new.value == label
        self.said[new.id] = Said(new.id, new.item_id, None, "label", label, "import", None, None, 0)

    def _update(
        self, item: int, row: Mapping[str, Any], rows: Sequence[ItemRow], before: Mapping[int, ItemRow], now: datetime
    ) -> bool:
        """Content changes only while nobody labelled or holds the item; it then counts as another item for ranking."""
        if self.items[item].text == row["text"]:
            return True
        if self.labels(item) or self.holders(item, now):
            return False
        after = next(i for i in rows if i.id == item)
        assert after.text == row["text"]
        assert after.number > max(known.number for known in before.values())
        self.items[item] = after
        self.queue = [entry for entry in self.queue if entry.item != item]
        # Whoever once held it saw another content: their lease is nobody's any more.
        self.grants = {key: grant for key, grant in self.grants.items() if grant.item != item}
        return True

    def _merge(self, item: int, row: Mapping[str, Any], label: str, mode: str, news: Any, now: datetime) -> None:
        """A file's label is taken where there is none, and replaces another file's on update; never a person's."""
        standing = self.labels(item)
        if not standing:
            self._import(news.pop(item), label)
            known = self.items[item]
            split = row.get("split", "pool")
            self.items[item] = ItemRow(known.id, known.number, known.key, known.text, split, known.shuffle)
            for grant in self.holders(item, now):
                grant.until = now
            self._drop_if_done(item)
        elif mode == "update" and standing[0].source == "import" and standing[0].value != label:
            new = news.pop(item)
            standing[0].stands, standing[0].by = False, new.id
            self._import(new, label)

    def _follow(self, before: Mapping[int, ItemRow], row: ItemRow, touched: set[int]) -> None:
        """The holdout may grow and shrink with the pool, but only by items that nobody has touched."""
        if row.id not in before:
            return
        mine = self.items[row.id]
        if mine != row:
            assert row.id not in touched, "what somebody has seen stays where it is"
            assert {mine.split, row.split} == {"pool", "holdout"}
            moved = (row.id, row.number, row.key, row.text, row.shuffle)
            assert moved == (mine.id, mine.number, mine.key, mine.text, mine.shuffle)
            self.items[row.id] = row
            if row.split == "holdout":
                self.queue = [entry for entry in self.queue if entry.item != row.id]
