"""What teaches, in the service: chosen in one round, kept for the next, and said in the round and in the card."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import select

from models.export.card import CardFacts
from tests.worker.service import Service
from winnow import projects, rounds
from winnow.db.tables import Project, Round, Student
from winnow.settings import Settings
from worker.tasks.export import _facts


def rounds_of(service: Service, project: int) -> list[Round]:
    with service.database.read() as session:
        return list(session.scalars(select(Round).where(Round.project_id == project, Round.n > 0).order_by(Round.n)))


def card_facts(service: Service, project: int, version: int) -> CardFacts:
    with service.database.read() as session:
        student = session.scalars(
            select(Student).where(Student.project_id == project, Student.version == version)
        ).one()
    return _facts(service.runtime(), service.project(project), student)


def test_a_choice_is_kept_for_the_next_round_and_said_everywhere(service: Service) -> None:
    project = service.make_project(120, teacher="stacked", batch_size=40)
    service.work()
    service.label(project, 40)
    service.work()
    service.label(project, 5)
    with service.database.write() as session:
        rounds.request_round(session, session.get_one(Project, project), forced=True)
    service.work()
    first, second = (entry.metrics for entry in rounds_of(service, project))
    assert first["teacher_chosen_at"] == second["teacher_chosen_at"] > 20
    assert [member["name"] for member in second["teacher_members"]] == ["logistic", "prototypes", "lexical"]
    assert second["teacher_why"] == first["teacher_why"]
    assert "The student learns from" in second["explanation"]
    assert json.dumps(second)
    facts = card_facts(service, project, 2)
    assert facts.teacher is not None
    if first["teacher_kind"] == "stacked":
        assert facts.teacher.startswith("an average of ")
    assert "multinomial logistic regression on features of the encoder hashed" in facts.teacher


def test_a_registered_classifier_teaches_and_is_part_of_the_recipe(service: Service) -> None:
    bayes = {"class": "sklearn.naive_bayes.GaussianNB", "params": {}}
    settings = Settings(**{**service.settings.model_dump(exclude={"classifiers"}), "classifiers": {"bayes": bayes}})
    registered = replace(service, settings=settings)
    project = service.make_project(90)
    with service.database.write() as session:
        projects.update_project(session, project, settings={"teacher": "sklearn:bayes"}, teachers=("sklearn:bayes",))
    registered.work()
    registered.label(project, 40)
    registered.work()
    [entry] = rounds_of(service, project)
    assert entry.metrics["teacher_kind"] == "sklearn:bayes"
    with service.database.read() as session:
        student = session.scalars(select(Student).where(Student.project_id == project)).one()
    assert student.recipe["classifier"] == bayes
    assert (card_facts(service, project, 1).teacher or "").startswith("sklearn:bayes (the head is multinomial")
