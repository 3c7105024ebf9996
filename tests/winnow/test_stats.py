"""What the statistics say of work that nobody watches."""

from __future__ import annotations

from tests.winnow.test_rounds import add_labels, make_project
from winnow import jobs
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.settings import Settings
from winnow.stats import project_stats


def trouble(database: Database, project_id: int) -> object:
    with database.read() as session:
        return project_stats(session, session.get_one(Project, project_id))["freshness"]["trouble"]


def test_a_round_that_failed_is_said_until_one_succeeds(database: Database, settings: Settings) -> None:
    project = make_project(database)
    for ends_well in (False, True):
        with database.write() as session:
            session.get_one(Project, project).round_labels = 0
        job_id = add_labels(database, project, 10)
        assert job_id is not None
        with database.write() as session:
            job = jobs.claim(session, job_id, "w", settings)
            assert job is not None
            context = jobs.JobContext(database, job, settings)
            if ends_well:
                context.finish(session, {})
            else:
                jobs.fail(session, job.id, job.attempt, {"detail": "The disk is full.", "status": 503})
        expected = None if ends_well else "The last round failed. The disk is full."
        assert trouble(database, project) == expected
