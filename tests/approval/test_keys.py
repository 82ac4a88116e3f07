"""The private key lies encrypted, for its owner only, and costs a guesser dear."""

import json
from pathlib import Path

import pytest

from segpipe.approval import keys
from segpipe.approval.keys import COST as SHIPPED
from segpipe.approval.keys import (
    change_password,
    check_password,
    is_signed,
    key_path,
    make_key,
    read_key,
    unlock,
    write_key,
)
from segpipe.project.errors import DataError
from tests.support.reviews import CHEAP

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "COST", CHEAP)


def test_a_guess_of_the_password_costs_what_owasp_asks_for() -> None:
    """N = 2^17, r = 8, p = 1 of the password storage cheat sheet: 128 MB."""
    assert 128 * keys.BLOCK * SHIPPED * keys.LANES == 128 * 2**20


def test_the_file_is_its_owners_only_and_holds_no_secret(tmp_path: Path) -> None:
    write_key(make_key(PASSWORD), "ann", tmp_path)

    path = key_path(tmp_path, "ann")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert PASSWORD not in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["ann.json"]


def test_a_signature_is_of_one_key_and_one_message() -> None:
    one, two = make_key(PASSWORD), make_key(PASSWORD)
    signature = unlock(one, PASSWORD)(b"message")

    assert is_signed(one.public_key, signature, b"message")
    assert not is_signed(one.public_key, signature, b"massage")
    assert not is_signed(two.public_key, signature, b"message")
    assert not is_signed(one.public_key, "00" * 64, b"message")


def test_another_public_key_in_the_file_is_noticed(tmp_path: Path) -> None:
    write_key(make_key(PASSWORD), "ann", tmp_path)
    path = key_path(tmp_path, "ann")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"public_key": "ab" * 32}))

    with pytest.raises(DataError, match="password: expected the one of the key"):
        unlock(read_key("ann", tmp_path), PASSWORD)(b"message")


def test_a_file_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    write_key(make_key(PASSWORD), "ann", tmp_path)
    path = key_path(tmp_path, "ann")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"cost": 2**40}))

    with pytest.raises(DataError, match="less than or equal to 1048576"):
        read_key("ann", tmp_path)


def test_a_changed_password_opens_the_same_key(tmp_path: Path) -> None:
    key = make_key(PASSWORD)
    write_key(key, "ann", tmp_path)
    change_password("ann", PASSWORD, "another long one", tmp_path)

    changed = read_key("ann", tmp_path)
    assert changed.public_key == key.public_key
    assert is_signed(key.public_key, unlock(changed, "another long one")(b"m"), b"m")
    with pytest.raises(DataError, match="found another; nothing was signed"):
        unlock(changed, PASSWORD)(b"m")


@pytest.mark.parametrize(
    ("password", "found"),
    [
        ("x" * 11, "found 11"),
        ("x" * 201, "found 201"),
        ("I am ANN, your reader", "found the name in it"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused_and_not_repeated(
    tmp_path: Path, password: str, found: str
) -> None:
    write_key(make_key(PASSWORD), "ann", tmp_path)
    before = key_path(tmp_path, "ann").read_bytes()

    with pytest.raises(DataError, match=found) as error:
        change_password("ann", PASSWORD, password, tmp_path)
    with pytest.raises(DataError, match=found):
        check_password(password, "ann")
    assert password not in str(error.value)
    assert key_path(tmp_path, "ann").read_bytes() == before


def test_a_name_of_two_letters_is_in_many_good_passwords() -> None:
    check_password("four random dojos", "jo")
