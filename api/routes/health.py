"""Live, ready, and one day metrics. Nobody has to sign in here, so answers say little."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from fastapi import APIRouter, Request, Response

from api.deps import DatabaseDep
from api.schemas.health import Health, Readiness
from winnow import readiness
from winnow.db.session import Database
from winnow.errors import NotYet

router = APIRouter(tags=["health"])
WORKER_SEEN_WITHIN = timedelta(seconds=15)


@router.get("/healthz")
async def get_health() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "A part does not answer."}})
def get_readiness(request: Request, response: Response, database: DatabaseDep) -> Readiness:
    """Database and broker answer, and a worker was seen in the last 15 seconds.

    Without the storage people can go on labeling: that it does not answer is said, and is no reason to be taken off.
    """
    check_broker: Callable[[], bool] = request.app.state.check_broker
    checks = _check_database(database)
    checks["broker"] = "ok" if check_broker() else "unreachable"
    ready = all(state == "ok" for state in checks.values())
    check_storage: Callable[[], bool] = request.app.state.check_storage
    checks["storage"] = "ok" if check_storage() else "unreachable"
    response.status_code = 200 if ready else 503
    return Readiness(status="ready" if ready else "not_ready", checks=checks)


@router.get("/metrics", response_model=None, responses={501: {"description": "Not there yet."}})
async def get_metrics() -> Response:
    """Figures for Prometheus: not there yet."""
    raise NotYet("Metrics come in a later version.")


def _check_database(database: Database) -> dict[str, str]:
    try:
        with database.read() as session:
            seen = readiness.worker_seen(session, WORKER_SEEN_WITHIN)
    except Exception:
        return {"database": "unreachable", "worker": "unknown"}
    return {"database": "ok", "worker": "ok" if seen else "none seen"}
