"""What the tables say, recounted by plain SQL, beside the project's counters and beside the reference."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from tests.properties.reference import Reference
from tests.properties.world import BATCH_SIZE, World, all_leases
from winnow.db.base import Base, UtcDateTime
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.label_rows import standing_for_training, stream_labels
from winnow.leases import list_leases, pending_numbers
from winnow.pool import ItemFilter, list_items
from winnow.stats import project_stats

_TABLES = Base.metadata.tables
_LABELS = _TABLES["labels"].select().order_by(_TABLES["labels"].c.id)
_ITEMS = select(*_TABLES["items"].c["id", "number", "split", "is_open"]).order_by(_TABLES["items"].c.id)
_QUEUE = select(*_TABLES["queue"].c["item_id", "round"]).order_by(_TABLES["queue"].c.rank)

#: Each of the project's counters as one plain count over items and labels.
RECOUNTS = {
    "n_items": "SELECT count(*) FROM items",
    "n_open": "SELECT count(*) FROM items WHERE is_open",
    "n_open_holdout": "SELECT count(*) FROM items WHERE is_open AND split = 'holdout'",
    "n_test": "SELECT count(*) FROM items WHERE split = 'test'",
    "n_labeled": "SELECT count(DISTINCT item_id) FROM labels WHERE superseded_at IS NULL AND kind = 'label'",
    "n_skipped": "SELECT count(DISTINCT item_id) FROM labels WHERE superseded_at IS NULL AND kind = 'skip'",
    "n_flagged": "SELECT count(DISTINCT item_id) FROM labels WHERE superseded_at IS NULL AND kind = 'flag'",
    "n_labels": "SELECT count(*) FROM labels WHERE superseded_at IS NULL AND kind = 'label' AND source = 'human'",
    "n_holdout_labels": "SELECT count(DISTINCT item_id) FROM labels JOIN items ON items.id = item_id "
    "WHERE superseded_at IS NULL AND kind = 'label' AND source = 'human' AND split = 'holdout'",
    "n_behind": "SELECT count(*) FROM labels WHERE superseded_at IS NULL AND kind = 'label' AND source = 'human' "
    "AND id > (SELECT behind_cutoff FROM projects)",
}
#: What no row may be, whatever happened.
NEVER = {
    "columns of an item disagree with its labels": "SELECT items.id FROM items LEFT JOIN labels ON item_id = items.id "
    "AND superseded_at IS NULL AND kind = 'label' GROUP BY items.id, standing HAVING count(labels.id) <> standing",
    "a queued item needs no labels, or is held out": "SELECT rank FROM queue JOIN items ON items.id = item_id "
    "WHERE NOT is_open OR split <> 'pool'",
    "somebody holds what they have answered": "SELECT leases.id FROM leases JOIN labels ON labels.item_id = "
    "leases.item_id AND labels.user_id = leases.user_id WHERE superseded_at IS NULL AND expires_at > :now",
    "labels and live leases are more than the overlap": "SELECT items.id FROM items JOIN leases ON item_id = items.id "
    "WHERE expires_at > :now GROUP BY items.id, standing HAVING count(*) + standing > "
    "(SELECT CAST(settings->>'overlap' AS INTEGER) FROM projects)",
    "a held item needs no labels": "SELECT items.id FROM items JOIN leases ON item_id = items.id "
    "WHERE expires_at > :now AND NOT is_open",
    "a superseded label names no later one of its item": "SELECT old.id FROM labels AS old LEFT JOIN labels AS new "
    "ON new.id = old.superseded_by WHERE old.superseded_by IS NOT NULL AND (new.id IS NULL OR new.id <= old.id "
    "OR new.item_id <> old.item_id OR old.superseded_at IS NULL)",
    "one person has two answers standing on an item": "SELECT min(id) FROM labels WHERE superseded_at IS NULL "
    "GROUP BY item_id, user_id HAVING count(*) > 1",
}
_HISTORY = (
    *("item_id", "user_id", "kind", "value", "source"),
    *("mechanism", "probability", "round", "superseded_by"),
)
_WAITING = text("SELECT count(*) FROM jobs WHERE state = 'queued'")
_RECOUNT = text("SELECT " + ", ".join(f"({query}) AS {name}" for name, query in RECOUNTS.items()))
_NEVER = text(
    " UNION ALL ".join(f"SELECT '{what}' FROM ({query}) AS q{n}" for n, (what, query) in enumerate(NEVER.items()))
).bindparams(bindparam("now", type_=UtcDateTime))


@dataclass
class Recount:
    """Compares; remembers the history that it has seen, which may only grow."""

    world: World
    history: dict[int, dict[str, Any]] = field(default_factory=dict)

    def check(self, reference: Reference) -> None:
        """What the tables hold, at rest."""
        with self.world.database.read() as session:
            project = session.get_one(Project, self.world.project_id)
            connection = session.connection()
            self._check_sql(connection, project)
            self._check_history(connection, reference)
            self._check_leases(session, reference)
            rows = [tuple(row) for row in connection.execute(_ITEMS)]
            assert rows == [
                (row.id, row.number, row.split, reference.needs_labels(row.id)) for row in reference.items.values()
            ]
            ranked = [tuple(row) for row in connection.execute(_QUEUE)]
            assert ranked == [(entry.item, entry.round) for entry in reference.queue]
            waiting = connection.execute(_WAITING).scalar_one()
        assert project.round_labels == reference.round_labels
        assert waiting <= 1
        due = project.n_labels - project.round_labels >= BATCH_SIZE
        assert waiting == 1 or not due, "a round is asked for as soon as it is due"

    def check_shown(self, reference: Reference) -> None:
        """What people and rounds are shown: lists, numbers, exports, and what is trained on."""
        with self.world.database.read() as session:
            project = session.get_one(Project, self.world.project_id)
            self._check_lists(session, project, reference)
            self._check_stats(session, project, reference)
        self._check_streams(reference)

    def check_meanwhile(self, database: Database) -> None:
        """What holds in every moment, whoever is at work: nothing is served too often, and the counters are right."""
        with database.read() as session:
            project = session.get_one(Project, self.world.project_id)
            self._check_sql(session.connection(), project)

    def _check_sql(self, connection: Connection, project: Project) -> None:
        counted = connection.execute(_RECOUNT).one()._mapping
        assert {name: getattr(project, name) for name in RECOUNTS} == dict(counted)
        found = connection.execute(_NEVER, {"now": self.world.clock.now}).scalars().all()
        assert found == []

    def _check_history(self, connection: Connection, reference: Reference) -> None:
        rows = {row.id: dict(row._mapping) for row in connection.execute(_LABELS)}
        unsaid = {"superseded_at": None, "superseded_by": None}
        for label_id, seen in self.history.items():
            row = rows[label_id]
            assert row | unsaid == seen | unsaid, "a row of the history was changed"
            assert seen["superseded_at"] is None or row == seen, "a label that was superseded stays so"
        self.history = rows
        told = {
            said.id: (
                *(said.item, said.user, said.kind, said.value, said.source),
                *(said.mechanism, said.probability, said.round, said.by, said.stands),
            )
            for said in reference.said.values()
        }
        found = {
            label_id: (*(row[name] for name in _HISTORY), row["superseded_at"] is None)
            for label_id, row in rows.items()
        }
        assert found == told

    def _check_leases(self, session: Session, reference: Reference) -> None:
        now = self.world.clock.now
        live = {
            (row.item, row.user): (row.id, row.expires_at, row.mechanism, row.probability, row.round)
            for row in all_leases(session)
            if row.expires_at > now
        }
        assert live == {
            key: (grant.lease, grant.until, grant.mechanism, grant.probability, grant.round)
            for key, grant in reference.grants.items()
            if grant.until > now
        }

    def _check_lists(self, session: Session, project: Project, reference: Reference) -> None:
        views = list_items(session, project, ItemFilter(), limit=1000)
        assert [view.item.id for view in views] == list(reference.items)
        for view in views:
            item = view.item.id
            assert [label.id for label in view.labels] == [said.id for said in reference.standing(item)]
            assert view.status == self._status(item, reference)
        for status in {view.status for view in views}:
            found = {view.item.id for view in list_items(session, project, ItemFilter(status=status), limit=1000)}
            assert {view.item.id for view in views if view.status == status} <= found, status
        now = self.world.clock.now
        for person in reference.people:
            shown = [held.item_id for held in list_leases(session, project, person.user_id)]
            assert shown == [grant.item for grant in reference.held(person.user_id, now)]
        pending = {reference.items[grant.item].number for grant in reference.grants.values() if grant.until > now}
        assert pending_numbers(session, project.id) == sorted(pending)

    def _status(self, item: int, reference: Reference) -> str:
        kinds = {said.kind for said in reference.standing(item)}
        if reference.items[item].split == "test":
            return "test"
        for kind, status in (("label", "labeled"), ("flag", "flagged"), ("skip", "skipped")):
            if kind in kinds:
                return status
        return "leased" if reference.holders(item, self.world.clock.now) else "unlabeled"

    def _check_stats(self, session: Session, project: Project, reference: Reference) -> None:
        shown = project_stats(session, project)
        labels = [said for said in reference.said.values() if said.stands and said.kind == "label"]
        by_kind = {
            kind: {said.item for said in reference.said.values() if said.stands and said.kind == kind}
            for kind in ("label", "skip", "flag")
        }
        emails = {person.user_id: person.email for person in reference.people}
        people = Counter(emails[said.user] for said in labels if said.user is not None)
        classes = Counter(said.value for said in labels)
        assert {name: shown[name] for name in ("items", "labeled", "skipped", "flagged", "remaining")} == {
            "items": len(reference.items),
            "labeled": len(by_kind["label"]),
            "skipped": len(by_kind["skip"]),
            "flagged": len(by_kind["flag"]),
            "remaining": reference.remaining(),
        }
        assert shown["per_label"] == {name: classes[name] for name in ("spam", "ham")}
        assert {email: n for email, n in shown["per_annotator"].items() if n} == dict(people)
        behind = sum(said.id > reference.cutoff for said in reference.human_labels())
        assert shown["freshness"]["labels_behind"] == behind

    def _check_streams(self, reference: Reference) -> None:
        pages = stream_labels(self.world.database, self.world.project_id)
        shown = [(int(row["id"]), int(row["item"]), row["label"]) for page in pages for row in page]
        standing = sorted((said for said in reference.said.values() if said.stands), key=lambda said: said.id)
        assert shown == [(said.id, said.item, said.value) for said in standing]
        with self.world.database.read() as session:
            training = standing_for_training(session, self.world.project_id)
        numbers = {reference.items[said.item].number for said in standing if said.kind == "label"}
        assert training.numbers.tolist() == sorted(numbers)
        for number, index in zip(training.numbers.tolist(), training.classes.tolist(), strict=True):
            item = next(row.id for row in reference.items.values() if row.number == number)
            votes = Counter(said.value for said in reference.labels(item))
            assert votes[("spam", "ham")[index]] == max(votes.values())
