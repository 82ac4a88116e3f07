"""The steps lead to the tables that the code has."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from segpipe.review.accounts.database import upgrade
from segpipe.review.accounts.tables import Table


def test_after_all_steps_alembic_sees_no_difference_to_the_code() -> None:
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Table.metadata)

    assert differences == []
