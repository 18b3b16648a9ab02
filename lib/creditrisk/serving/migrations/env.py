"""Alembic's entry: runs inside the transaction that `creditrisk.serving.database` has opened and locked."""

from __future__ import annotations

from alembic import context

from creditrisk.serving.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
