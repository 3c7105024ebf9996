"""A column holds the same on both kinds of database, whatever it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from tests.winnow.pools import Pool
from winnow.db.session import Database
from winnow.db.tables import Content, Item, Job, Label, LedgerEntry, User
from winnow.pool import ItemFilter, list_items
from winnow.settings import Settings


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    made = Pool.make(database, settings)
    made.fill(4)
    return made


def test_a_time_is_aware_and_in_utc_to_the_microsecond_whatever_zone_it_came_in(pool: Pool) -> None:
    said = datetime(2026, 3, 29, 2, 30, 0, 123457, timezone(timedelta(hours=5, minutes=45)))
    with pool.database.write() as session:
        session.get_one(User, pool.users[0]).created_at = said
    with pool.database.read() as session:
        kept = session.get_one(User, pool.users[0]).created_at
    assert (kept, kept.tzinfo, kept.microsecond) == (said, UTC, 123457)


def test_the_time_zone_of_a_postgresql_server_changes_nothing(postgresql_url: str) -> None:
    from migrations import runner

    runner.upgrade(postgresql_url)
    in_nepal = make_url(postgresql_url).update_query_dict({"options": "-c timezone=Asia/Kathmandu"})
    said = datetime(2026, 10, 25, 0, 59, 59, 999999, UTC)
    for url, email in ((in_nepal.render_as_string(hide_password=False), "a@b"), (postgresql_url, "c@d")):
        database = Database(url)
        with database.write() as session:
            session.add(User(email=email, password_hash="!", role="member", created_at=said))
        with database.read() as session:
            zone = session.scalar(text("SHOW timezone"))
            assert {user.created_at for user in session.scalars(select(User))} == {said}
            assert session.scalar(select(User.id).where(User.email == email, User.created_at <= said)) is not None
        assert (zone == "Asia/Kathmandu") == (email == "a@b")
        database.dispose()


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -1e-9, 123456789.123456789], ids=repr
)
def test_a_float_keeps_its_last_bit(pool: Pool, value: float) -> None:
    with pool.database.write() as session:
        entry = LedgerEntry(
            attempt=1,
            kind="round",
            cpu_seconds=value,
            wall_seconds=0,
            peak_memory_bytes=2**40 + 1,
            watt_hours=0,
            grams_co2e=0,
        )
        session.add(entry)
    with pool.database.read() as session:
        kept = session.get_one(LedgerEntry, entry.id)
    assert kept.cpu_seconds.hex() == value.hex()
    assert kept.peak_memory_bytes == 2**40 + 1


def test_numbers_beyond_32_bits_are_held_and_counted_on_from(pool: Pool) -> None:
    with pool.database.write() as session:
        session.execute(text("UPDATE items SET shuffle = 9223372036854775807 WHERE number = 0"))
        session.execute(text("UPDATE items SET shuffle = -9223372036854775808 WHERE number = 1"))
    assert [item.shuffle for item in pool.items()[:2]] == [2**63 - 1, -(2**63)]


def test_bytes_and_json_come_back_as_they_were(pool: Pool) -> None:
    meta: dict[str, Any] = {"ü\u2028": [1, 1.5, None, True, {"": "\\u0000 is no NUL"}], "big": 2**70, "a": 1e-7}
    item = pool.items()[0]
    with pool.database.write() as session:
        session.get_one(Item, item.id).meta = meta
        session.add(Content(item_id=item.id, media_type="image/png", data=bytes(range(256)) * 2))
        session.add(Label(project_id=pool.project_id, item_id=item.id, kind="label", value=["a", "ß"], source="import"))
    with pool.database.read() as session:
        assert session.get_one(Item, item.id).meta == meta
        assert session.get_one(Content, item.id).data == bytes(range(256)) * 2
    assert pool.labels()[0].value == ["a", "ß"]


def test_what_is_not_there_is_null_and_no_json_null(pool: Pool) -> None:
    with pool.database.write() as session:
        session.add(Job(kind="import", payload={}))
        session.flush()
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE checkpoint IS NULL AND result IS NULL")) == 1


def test_unique_keys_let_any_number_of_rows_have_none(pool: Pool) -> None:
    pool.add({"text": "one"}, {"text": "two"})
    assert [item.key for item in pool.items()[-2:]] == [None, None]
    with pytest.raises(IntegrityError), pool.database.write() as session:
        session.execute(text("UPDATE items SET key = 'k0' WHERE number = 1"))


def test_conditions_of_unique_indexes_count(pool: Pool) -> None:
    """One standing label for each item and person, any number of superseded ones; one round that waits."""
    item = pool.items()[0].id
    for _ in range(3):
        pool.label(0, item, "spam")
    assert [row.superseded_at is None for row in pool.labels()] == [False, False, True]
    with pytest.raises(IntegrityError), pool.database.write() as session:
        session.execute(text("UPDATE labels SET superseded_at = NULL"))
    with pool.database.write() as session:
        session.add(Job(kind="round", project_id=pool.project_id, state="queued", payload={}))
    with pytest.raises(IntegrityError), pool.database.write() as session:
        session.add(Job(kind="round", project_id=pool.project_id, state="queued", payload={}))


def test_searching_takes_upper_and_lower_case_for_one_from_a_to_z_only(pool: Pool) -> None:
    pool.add({"text": "STRASSE", "key": "A"}, {"text": "Ärger", "key": "B"}, {"text": "100%_\\", "key": "C"})

    def found(q: str) -> list[str | None]:
        with pool.database.read() as session:
            return [view.item.key for view in list_items(session, pool.project, ItemFilter(q=q))]

    assert found("strasse") == ["A"]
    assert found("Ärger") == ["B"]
    assert found("ärGER") == []
    assert found("ÄRGER") == ["B"]
    assert found("%_\\") == ["C"]
