"""People are added, closed, and locked out after wrong passwords."""

from datetime import timedelta
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.review.accounts import users
from segpipe.review.accounts.database import Database, open_database
from segpipe.review.accounts.sessions import find_visitor, open_session
from segpipe.review.accounts.tables import User, now
from segpipe.review.accounts.users import (
    TRIES,
    add_user,
    check_password,
    disable_user,
    list_users,
    set_password,
)
from tests.support.readers import PASSWORD


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    add_user(
        database,
        "jane",
        printed_name=" Dr Jane Doe ",
        roles=["lead", "reader"],
        password=PASSWORD,
    )
    return database


def test_a_user_is_kept_as_given(database: Database) -> None:
    (user,) = list_users(database)

    assert (user.name, user.printed_name) == ("jane", "Dr Jane Doe")
    assert user.roles == ["reader", "lead"]
    assert check_password(database, "jane", PASSWORD) is not None


@pytest.mark.parametrize(
    ("name", "printed", "roles", "found"),
    [
        ("jane", "Jane", ["reader"], "a user who has it"),
        ("../jane", "Jane", ["reader"], "'../jane'"),
        ("Jane", "Jane", ["reader"], "'Jane'"),
        ("john", " ", ["reader"], "found 0"),
        ("john", "John", [], "found none"),
        ("john", "John", ["reader", "king"], "found king"),
    ],
)
def test_what_cannot_be_is_refused(
    database: Database, name: str, printed: str, roles: list[str], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        add_user(database, name, printed_name=printed, roles=roles, password=PASSWORD)

    assert len(list_users(database)) == 1


def test_after_wrong_passwords_the_right_one_is_refused_for_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(TRIES):
        assert check_password(database, "jane", "a wrong password") is None
    locked = check_password(database, "jane", PASSWORD)
    later = now() + users.LOCKED + timedelta(seconds=1)
    monkeypatch.setattr(users, "now", lambda: later)

    assert locked is None
    assert check_password(database, "jane", PASSWORD) is not None


def test_a_right_password_forgets_wrong_ones(database: Database) -> None:
    for _ in range(3):
        for _ in range(TRIES - 1):
            check_password(database, "jane", "a wrong password")
        assert check_password(database, "jane", PASSWORD) is not None


def test_another_password_and_a_closed_account_end_sessions(database: Database) -> None:
    user = check_password(database, "jane", PASSWORD)
    assert isinstance(user, User)
    tokens = [open_session(database, user)]
    set_password(database, "jane", "other random words")
    assert find_visitor(database, tokens[0]) is None
    tokens.append(open_session(database, user))
    disable_user(database, "jane")

    assert find_visitor(database, tokens[1]) is None
    assert check_password(database, "jane", "other random words") is None
