"""A person has one name, one password and one list of roles: those of the chain."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from segpipe.approval.chain.signing import append_all, revoke_person
from segpipe.approval.chain.verification import verify
from segpipe.approval.keys import key_path
from segpipe.approval.policy import utc_now
from segpipe.project.errors import DataError
from segpipe.review.accounts import users
from segpipe.review.accounts.database import open_database
from segpipe.review.accounts.sessions import find_visitor, open_session
from segpipe.review.accounts.users import (
    TRIES,
    Newcomer,
    add_user,
    change_password,
    check_password,
    describe_lack,
    find_user,
    revoke_user,
    without_login,
)
from tests.support.readers import ADMIN, PASSWORD, Review, open_review
from tests.support.reviews import reading

OTHER = "other random words"


@pytest.fixture
def review(tmp_path: Path) -> Review:
    review = open_review(tmp_path, items=1)
    review.add("jane", "lead", "reader", reads=False)
    return review


def knows(review: Review, name: str, password: str) -> bool:
    found = check_password(review.database, name, password, review.roster)
    return found is not None


def test_one_password_logs_in_and_signs_and_roles_are_those_of_the_chain(
    review: Review,
) -> None:
    _, person = find_user(review.database, "jane", review.roster)

    assert knows(review, "jane", PASSWORD)
    assert append_all([reading()], "jane", PASSWORD, review.root)[0].signer == "jane"
    assert (person.printed_name, person.roles) == ("Dr Jane", ("lead", "reader"))


@pytest.mark.parametrize(
    ("name", "printed", "password", "found"),
    [
        ("jane", "Jane", PASSWORD, "found one that may sign"),
        ("../jane", "Jane", PASSWORD, r"found '\.\./jane'"),
        ("john", " ", PASSWORD, "found 0"),
        ("john", "J" * 201, PASSWORD, "found 201"),
        ("john", "John", "short", "found 5"),
        ("john", "John", "the reader JOHN, who", "the name in it"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    review: Review, name: str, printed: str, password: str, found: str
) -> None:
    head = verify(review.root).head
    newcomer = Newcomer(name, printed, ("reader",))

    with pytest.raises(DataError, match=found):
        add_user(review.database, newcomer, password, review.root, by=ADMIN)
    assert verify(review.root).head == head
    assert not key_path(review.root, "john").exists()
    assert not knows(review, "john", password)


def test_after_wrong_passwords_the_right_one_is_refused_for_a_while(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [knows(review, "jane", "a wrong password") for _ in range(TRIES)]
    locked = knows(review, "jane", PASSWORD)
    later = utc_now() + users.LOCKED + timedelta(seconds=1)
    monkeypatch.setattr(users, "utc_now", lambda: later)

    assert not any([*wrong, locked])
    assert knows(review, "jane", PASSWORD)


def test_a_right_password_forgets_wrong_ones(review: Review) -> None:
    for _ in range(3):
        for _ in range(TRIES - 1):
            assert not knows(review, "jane", "a wrong password")
        assert knows(review, "jane", PASSWORD)


def test_another_password_is_that_of_login_and_key_and_ends_sessions(
    review: Review,
) -> None:
    user, _ = find_user(review.database, "jane", review.roster)
    token = open_session(review.database, user)
    words = (review.database, "jane", "a wrong password", OTHER, review.root)
    with pytest.raises(DataError, match="found another"):
        change_password(*words)
    assert find_visitor(review.database, token, review.roster) is not None
    change_password(review.database, "jane", PASSWORD, OTHER, review.root)

    assert find_visitor(review.database, token, review.roster) is None
    assert not knows(review, "jane", PASSWORD)
    assert knows(review, "jane", OTHER)
    with pytest.raises(DataError, match="nothing was signed"):
        append_all([reading()], "jane", PASSWORD, review.root)
    assert append_all([reading()], "jane", OTHER, review.root)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "another machine"])
def test_who_is_revoked_is_logged_out_at_once(review: Review, elsewhere: bool) -> None:
    """Also where only the records came, with git, and not the accounts."""
    user, _ = find_user(review.database, "jane", review.roster)
    token = open_session(review.database, user)
    if elsewhere:
        revoke_person("jane", "has left", *ADMIN, review.root)
    else:
        revoke_user(review.database, "jane", "has left", review.root, by=ADMIN)

    assert find_visitor(review.database, token, review.roster) is None
    assert not knows(review, "jane", PASSWORD)
    with pytest.raises(DataError, match=r"record 3 .*revoked it"):
        find_user(review.database, "jane", review.roster)


def test_an_old_login_is_not_that_of_a_new_key(review: Review) -> None:
    """The name was revoked and enrolled anew on another machine."""
    user, _ = find_user(review.database, "jane", review.roster)
    token = open_session(review.database, user)
    revoke_person("jane", "lost it", *ADMIN, review.root)
    other = open_database(f"sqlite:///{review.root}/other.db")
    jane = Newcomer("jane", "Dr Jane", ("reader",))
    add_user(other, jane, OTHER, review.root, by=ADMIN)

    assert find_visitor(review.database, token, review.roster) is None
    assert not knows(review, "jane", PASSWORD)
    assert without_login(review.database, review.roster) == ["jane"]


def test_a_machine_with_the_records_alone_gets_a_login_with_the_key(
    review: Review, tmp_path: Path
) -> None:
    """As the mend says: copy the key's file, then `segpipe review users password`."""
    clone = tmp_path / "clone"
    shutil.copytree(review.root / "reviews", clone / "reviews")
    fresh = open_database(f"sqlite:///{clone}/accounts.db")
    roster = verify(clone).roster
    assert without_login(fresh, roster) == ["ada", "jane"]
    with pytest.raises(DataError) as error:
        find_user(fresh, "jane", roster)
    assert str(error.value) == describe_lack(["jane"])
    assert "copy .reviews/keys/NAME.json here" in str(error.value)
    with pytest.raises(DataError, match="keys are no part of git"):
        change_password(fresh, "jane", PASSWORD, PASSWORD, clone)

    key_path(clone, "jane").parent.mkdir(parents=True)
    shutil.copy(key_path(review.root, "ada"), key_path(clone, "jane"))
    with pytest.raises(DataError, match="expected the key that record 2 enrolled"):
        change_password(fresh, "jane", PASSWORD, PASSWORD, clone)
    shutil.copy(key_path(review.root, "jane"), key_path(clone, "jane"))
    change_password(fresh, "jane", PASSWORD, PASSWORD, clone)
    assert check_password(fresh, "jane", PASSWORD, roster) is not None
    assert without_login(fresh, roster) == ["ada"]


def test_a_key_whose_password_changed_before_a_crash_gets_its_login(
    review: Review,
) -> None:
    users.change_key("jane", PASSWORD, OTHER, review.root)  # and then it was killed

    assert knows(review, "jane", PASSWORD)
    change_password(review.database, "jane", OTHER, OTHER, review.root)
    assert knows(review, "jane", OTHER)
    assert not knows(review, "jane", PASSWORD)
