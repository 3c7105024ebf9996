"""Taking back the labels of a run: page by page, each in a short transaction."""

from __future__ import annotations

from winnow import model_labels
from winnow.jobs import JobContext
from worker.base import Runtime

PAGE = 2_000


def run(runtime: Runtime, context: JobContext) -> None:
    """Supersede what stands of the run that the job names, to the last label."""
    assert context.project_id is not None  # noqa: S101 — runs belong to a project
    first, last = int(context.payload["first"]), int(context.payload["last"])
    removed = int(context.checkpoint_state.get("removed", 0))
    while True:
        context.pause_point()
        with runtime.database.write() as session:
            count = model_labels.take_back(session, context.project_id, first, last, PAGE)
            removed += count
            if count < PAGE:
                context.finish(session, {"run": str(context.payload["run"]), "removed": removed})
                return
            context.checkpoint(session, {"removed": removed}, 0.5, f"{removed:,} labels taken back")
