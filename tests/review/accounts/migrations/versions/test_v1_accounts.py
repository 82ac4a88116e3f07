"""The first step makes the tables, and its way back removes them."""

from sqlalchemy import create_engine, inspect

from segpipe.review.accounts.database import downgrade, upgrade


def test_the_way_back_leaves_nothing_but_alembics_own_table() -> None:
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection, "v1")
        made = {*inspect(connection).get_table_names()}
        downgrade(connection, "base")
        left = inspect(connection).get_table_names()

    assert made == {"alembic_version", "users", "logins", "assignments", "readings"}
    assert left == ["alembic_version"]
