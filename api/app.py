"""The application: settings in, ASGI out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from api.envelope import Envelope
from api.guards import Guards
from api.openapi import document
from api.problems import add_error_handlers
from api.routes import (
    auth,
    batches,
    health,
    imports,
    items,
    jobs,
    label_rest,
    labels,
    leases,
    llm_endpoints,
    members,
    predictions,
    projects,
    reports,
    rounds,
    stats,
    strategies,
    student_families,
    students,
    teachers,
    tokens,
    users,
)
from winnow.db.session import Database
from winnow.hints import make_sender
from winnow.readiness import broker_check, storage_check
from winnow.settings import Settings
from winnow.storage import Storage

#: In the order in which they are tried: what is called most comes first.
ROUTERS = (
    batches,
    labels,
    auth,
    users,
    tokens,
    projects,
    strategies,
    teachers,
    student_families,
    llm_endpoints,
    members,
    items,
    imports,
    leases,
    rounds,
    students,
    reports,
    predictions,
    label_rest,
    stats,
    jobs,
)


def create_app(
    settings: Settings,
    *,
    database: Database | None = None,
    storage: Storage | None = None,
    send_hint: Callable[[str, int], None] | None = None,
) -> FastAPI:
    """The API over a migrated database. What is not given is made from ``settings``, and closed at shutdown."""
    made = Database(settings.resolved_database_url) if database is None else None
    used = database or made
    assert used is not None  # noqa: S101 — one of them was made

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if made is not None:
            made.dispose()

    app = FastAPI(
        title="Winnow",
        version="0.1.0",
        description="Label less, train small: a data-efficiency labeling service.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(Envelope, strict_transport=settings.environment == "production"),
            Middleware(Guards, settings=settings),
        ],
    )
    app.state.settings = settings
    app.state.database = used
    app.state.storage = storage or Storage.of(settings)
    app.state.send_hint = send_hint or make_sender(settings.resolved_broker_url)
    app.state.check_broker = broker_check(settings.resolved_broker_url)
    app.state.check_storage = storage_check(lambda: app.state.storage.exists("probes"))
    used.send_hint = app.state.send_hint
    add_error_handlers(app)
    app.include_router(health.router)
    for routes in ROUTERS:
        app.include_router(routes.router, prefix="/v1")
    document(app)
    return app
