"""Run by Alembic for each move; the connection and its transaction are handed in by ``migrations.runner``."""

from __future__ import annotations

from alembic import context

import winnow.db.tables  # noqa: F401 — registers them
from winnow.db.base import Base

connection = context.config.attributes.get("connection")
if connection is None:  # as SQL, for an operator to read or a test to compare
    context.configure(
        dialect_name=context.config.attributes["dialect"],
        target_metadata=Base.metadata,
        literal_binds=True,
        output_buffer=context.config.attributes["output"],
    )
else:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)

with context.begin_transaction():
    context.run_migrations()
