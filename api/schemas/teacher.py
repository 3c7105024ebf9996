"""Teachers: what a project's setting may name."""

from __future__ import annotations

from pydantic import BaseModel, Field

from winnow.classifiers import PREFIX as CLASSIFIER_PREFIX
from winnow.classifiers import ClassifierEntry
from winnow.llm_endpoints import PREFIX as LLM_PREFIX
from winnow.llm_endpoints import LlmEndpoint
from winnow.project_settings import TASKS, TEACHERS


class TeacherOut(BaseModel):
    """One that the setting ``teacher`` may name."""

    name: str
    tasks: list[str] = Field(description="The kinds of project that may name it.")
    registered: bool = Field(description="Whether the operator added it; ours are always there.")
    model: str | None = Field(
        description="The class of scikit-learn, or the language model, that a registered one stands for; null for ours."
    )

    @classmethod
    def ours(cls, name: str) -> TeacherOut:
        """One that is always there."""
        return cls(name=name, tasks=[task for task in TASKS if name in TEACHERS[task]], registered=False, model=None)

    @classmethod
    def of_classifier(cls, name: str, entry: ClassifierEntry) -> TeacherOut:
        """One of the operator's classifiers."""
        return cls(name=f"{CLASSIFIER_PREFIX}{name}", tasks=list(TASKS), registered=True, model=entry.path)

    @classmethod
    def of_llm(cls, name: str, endpoint: LlmEndpoint) -> TeacherOut:
        """One of the operator's language models; `GET /v1/llm-endpoints` says where it sends texts."""
        return cls(name=f"{LLM_PREFIX}{name}", tasks=["text"], registered=True, model=endpoint.model)


class TeacherList(BaseModel):
    """All of them, in one page."""

    data: list[TeacherOut]
    next: None
