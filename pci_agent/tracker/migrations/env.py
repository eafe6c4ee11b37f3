"""Runs migrations on the connection that database.upgrade hands in."""

from alembic import context

from pci_agent.tracker.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
