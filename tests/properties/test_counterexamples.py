"""What the machines found, each as short as it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.conftest import DatabaseKind
from tests.properties.clock import Clock
from tests.properties.world import World
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.errors import NotFound
from winnow.settings import Settings


@pytest.fixture
def world(database: Database, settings: Settings, clock: Clock) -> World:
    return World.make(database, settings, clock, people=2, holdout=False)


def test_a_label_is_accepted_after_its_project_was_archived_and_restored(world: World) -> None:
    world.add([{"text": "a"}])
    world.claim(0, 1)
    lease = world.told.leases[0]
    world.archive()
    world.renew(0, lease.id)
    refused = world.told
    assert isinstance(refused, NotFound)
    world.restore()
    world.write(0, [{"item": str(lease.item), "label": "spam", "lease": str(lease.id)}])
    accepted, rejected = world.told
    assert (len(accepted), rejected) == (1, [])
    with world.database.read() as session:
        assert session.execute(text("SELECT mechanism, probability FROM labels")).all() == [("exploration", 1.0)]


def test_a_label_for_a_content_that_was_replaced_is_not_taken_for_the_new_one(world: World, clock: Clock) -> None:
    world.add([{"text": "cheap pills", "key": "k"}])
    world.claim(0, 1)
    lease = world.told.leases[0]
    clock.advance(301)
    world.add([{"text": "see you at lunch", "key": "k"}], "update")
    world.write(0, [{"item": str(lease.item), "label": "spam", "lease": str(lease.id)}])
    accepted, rejected = world.told
    assert accepted == []
    assert "not yours" in rejected[0].reason
    world.claim(0, 1)
    assert [item.text for item in world.told.items] == ["see you at lunch"]


def test_a_read_sees_one_snapshot(world: World) -> None:
    world.add([{"text": "a"}])
    with world.database.read() as session:
        assert session.get_one(Project, world.project_id).n_items == 1
        world.on(Database(world.database.url, pool_size=0)).add([{"text": "b"}])
        assert session.execute(text("SELECT count(*) FROM items")).scalar_one() == 1
    with world.database.read() as session:
        assert session.get_one(Project, world.project_id).n_items == 2


@contextmanager
def repeatable_by_default(database: Database) -> Iterator[Database]:
    """The same database, whose owner has set another isolation level for all that connect."""
    with database.engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'"))
    fresh = Database(database.url, pool_size=0)
    yield fresh
    fresh.dispose()


def test_whoever_waited_for_the_lock_sees_what_was_written_meanwhile(
    database: Database, database_kind: DatabaseKind
) -> None:
    if database_kind == "sqlite":  # there a write begins with the lock, so nothing is read before it
        with database.write() as session:
            assert session.connection().connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
        return
    with repeatable_by_default(database) as fresh, fresh.write() as session:
        assert session.execute(text("SHOW transaction_isolation")).scalar_one() == "read committed"
