"""Run the steps on the connection that ``segpipe.review.accounts.database`` opened."""

from alembic import context

from segpipe.review.accounts.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes a table by writing it anew
)
with context.begin_transaction():
    context.run_migrations()
