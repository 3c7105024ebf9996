"""Teachers: what a project's setting may name."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Me, SettingsDep
from api.schemas.teacher import TeacherList, TeacherOut
from winnow.project_settings import TEACHERS

router = APIRouter(prefix="/teachers", tags=["projects"])


@router.get("")
def list_teachers(_me: Me, settings: SettingsDep) -> TeacherList:
    """The teachers to choose from: ours, then the operator's classifiers, then the operator's language models."""
    ours = dict.fromkeys(name for names in TEACHERS.values() for name in names)
    classifiers = sorted(settings.classifiers.items())
    endpoints = sorted(settings.llm_endpoints.items())
    return TeacherList(
        data=[
            *(TeacherOut.ours(name) for name in ours),
            *(TeacherOut.of_classifier(name, entry) for name, entry in classifiers),
            *(TeacherOut.of_llm(name, endpoint) for name, endpoint in endpoints),
        ],
        next=None,
    )
