"""A record is added whole, in order, and by who has both the key and the password."""

import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest

from segpipe.approval import keys
from segpipe.approval.chain import signing
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import (
    add_person,
    append,
    append_all,
    revoke_person,
)
from segpipe.approval.chain.verification import verify
from segpipe.approval.keys import WrongPasswordError, key_path
from segpipe.approval.records import LIMIT_BYTES, Content, Role
from segpipe.project.errors import DataError
from tests.support.kills import check_each_kill
from tests.support.reviews import (
    CHEAP,
    decision,
    password_of,
    promotion,
    reading,
    signed,
    write_people,
)

ADMIN = ("ann", password_of("ann"))


def test_a_record_says_who_signed_when_and_in_which_role(root: Path) -> None:
    record = signed(decision(), "lea", root)

    assert (record.number, record.signer, record.role) == (13, "lea", "lead")
    assert record.printed_name == "Dr Lea"
    assert record.time.utcoffset() is not None
    assert record.content.kind == "decision"
    assert verify(root).records[-1] == record


def test_a_key_without_its_password_signs_nothing(root: Path) -> None:
    """Whoever stole the file cannot use it; nor does another person's password."""
    for guess in ("", "a guess", password_of("max")):
        with pytest.raises(DataError, match="found another; nothing was signed"):
            append(decision(), "lea", guess, root)
    key_path(root, "lea").write_bytes(key_path(root, "rob").read_bytes())
    with pytest.raises(DataError, match=r"names the signer lea, but the key of rob"):
        append(decision(), "lea", password_of("rob"), root)

    assert not record_path(root, 13).exists()


def test_a_password_without_the_key_signs_nothing(root: Path) -> None:
    key_path(root, "lea").unlink()

    with pytest.raises(DataError, match="expected the key of lea, found no file"):
        signed(decision(), "lea", root)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ray", "found that record 11 revoked it"),
        ("eve", "expected one of those with a key, ann, lea, rob, max, found another"),
    ],
)
def test_who_has_no_key_signs_nothing(root: Path, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        signed(reading(), name, root)


@pytest.mark.parametrize("role", ["lead", "admin", None])
def test_nobody_signs_what_the_role_may_not(root: Path, role: Role | None) -> None:
    with pytest.raises(DataError, match="nothing was signed"):
        append(promotion(), "rob", password_of("rob"), root, role=role)


def test_nothing_is_added_to_a_broken_chain(root: Path) -> None:
    record_path(root, 4).unlink()

    with pytest.raises(
        DataError, match=r"record 4 is missing .* nothing of this chain"
    ):
        signed(decision(), "lea", root)


def test_a_record_over_the_limit_is_refused_before_it_is_written(root: Path) -> None:
    cases = tuple(f"{n:0200d}" for n in range(LIMIT_BYTES // 200))

    with pytest.raises(DataError, match="expected a record of at most 1000000 bytes"):
        signed(decision(cases=cases), "lea", root)

    assert not record_path(root, 13).exists()


def test_several_records_are_signed_with_one_password_and_one_decryption(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked: list[str] = []

    def unlock(key: keys.KeyFile, password: str) -> Callable[[bytes], str]:
        unlocked.append(password)
        return keys.unlock(key, password)

    monkeypatch.setattr(signing, "unlock", unlock)
    contents = [reading(f"c{number}") for number in range(3, 8)]
    records = append_all(contents, "rob", password_of("rob"), root)

    chain = verify(root)
    assert chain.faults == ()
    assert chain.records[12:] == tuple(records)
    assert [one.content for one in records] == contents
    assert unlocked == [password_of("rob")]
    assert append_all([], "rob", password_of("rob"), root) == []


@pytest.mark.parametrize("fault", ["password", "role", "size"])
def test_of_several_records_none_is_added_where_one_is_wrong(
    root: Path, fault: str
) -> None:
    contents: list[Content] = [reading("c3"), reading("c4")]
    password = password_of("rob")
    if fault == "password":
        password = "a guess"
    elif fault == "role":
        contents.append(promotion())
    else:
        cases = tuple(f"{n:0200d}" for n in range(LIMIT_BYTES // 200))
        contents.append(decision(cases=cases))

    with pytest.raises(DataError, match="nothing was signed"):
        append_all(contents, "rob", password, root)
    assert not record_path(root, 13).exists()


def test_the_first_person_is_an_admin_and_adds_the_others(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the role admin among the roles"):
        add_person("rob", "Dr Rob", ("reader",), password_of("rob"), tmp_path)
    write_people(tmp_path)
    with pytest.raises(DataError, match=r"--by: expected the admin .* of ann"):
        add_person("eve", "Dr Eve", ("lead",), password_of("eve"), tmp_path)
    by = ("lea", password_of("lea"))
    with pytest.raises(DataError, match="signed as admin, which lea is not"):
        add_person("eve", "Dr Eve", ("lead",), password_of("eve"), tmp_path, by=by)
    with pytest.raises(DataError, match="revokes ann, the last admin"):
        revoke_person("ann", "why", *ADMIN, tmp_path)

    add_person("eve", "Dr Eve", ("admin",), password_of("eve"), tmp_path, by=ADMIN)
    revoke_person("ann", "has left", "eve", password_of("eve"), tmp_path)
    assert set(verify(tmp_path).roster.active) == {"lea", "rob", "ray", "max", "eve"}


def test_who_was_revoked_gets_a_new_key(root: Path) -> None:
    add_person("ray", "Dr Ray", ("reader",), "a new password", root, by=ADMIN)

    append(reading("c3"), "ray", "a new password", root)

    old, new = (one for one in verify(root).roster.keys.values() if one.name == "ray")
    assert (old.revoked, new.revoked) == (11, None)
    assert old.public_key != new.public_key


def test_a_key_is_never_lost_to_another_of_the_same_name(root: Path) -> None:
    """Somebody added ann again where git had another branch without records."""
    path, old = key_path(root, "ann"), key_path(root, "ann").read_bytes()
    shutil.move(root / "reviews", root / "aside")
    with pytest.raises(DataError, match="password: expected 12 to 200"):
        add_person("ann", "Ann", ("admin",), "short", root)
    assert path.read_bytes() == old
    add_person("ann", "Ann", ("admin",), "four other words", root)

    (kept,) = path.parent.glob("ann~*.json")
    assert kept.read_bytes() == old
    shutil.rmtree(root / "reviews")
    shutil.move(root / "aside", root / "reviews")
    kept.rename(path)
    assert revoke_person("rob", "has left", *ADMIN, root).number == 13


def test_a_failed_enrolment_leaves_the_key_that_was_there(root: Path) -> None:
    """Ray was revoked, and the admin's password is mistyped."""
    before = {one: one.read_bytes() for one in key_path(root, "x").parent.iterdir()}
    by = ("ann", "mistyped password")
    with pytest.raises(WrongPasswordError):
        add_person("ray", "Dr Ray", ("reader",), "a new password", root, by=by)

    after = {one: one.read_bytes() for one in key_path(root, "x").parent.iterdir()}
    assert after == before


@pytest.mark.parametrize("name", ["", "Ann", "../ann", "a/b", ".", "a" * 33, "ann\n"])
def test_a_name_that_could_be_a_path_is_refused(root: Path, name: str) -> None:
    with pytest.raises(DataError, match="name: expected a letter and then"):
        add_person(name, "X", ("reader",), "a long password", root, by=ADMIN)


@pytest.mark.parametrize(
    "printed", ["", " ", "a\nb", "J\x1b[31m", "\x9b31m", "\udcff", "\u202ex", "a" * 201]
)
def test_a_printed_name_is_one_line_that_can_be_printed(
    root: Path, printed: str
) -> None:
    with pytest.raises(DataError, match="eve: expected a printed name of 1 to 200"):
        add_person("eve", printed, ("reader",), "a long password", root, by=ADMIN)


def test_a_printed_name_has_accents_and_apostrophes(root: Path) -> None:
    name = "Zo\u00eb O'Brien-\u0141ukasz"
    add_person("zoe", name, ("reader",), "a long password", root, by=ADMIN)

    assert append(reading("c4"), "zoe", "a long password", root).printed_name == name


def add_five(root: Path, name: str) -> None:
    write_cheap()
    for number in range(5):
        signed(reading(f"{name}-{number}"), name, root)


def write_cheap() -> None:
    keys.COST = CHEAP


def test_two_processes_that_append_at_once_both_land_in_order(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=add_five, args=(root, n)) for n in ("rob", "lea")]
    for one in both:
        one.start()
    for one in both:
        one.join()

    chain = verify(root)
    assert chain.faults == ()
    assert len(chain.records) == 12 + 10
    for name in ("rob", "lea"):
        cases = [
            record.content.case
            for record in chain.records[12:]
            if record.signer == name and record.content.kind == "reading"
        ]
        assert cases == [f"{name}-{number}" for number in range(5)]


def prepare(folder: Path) -> None:
    """A project with people; they are written once for all kills."""
    first = folder.parent / "people"
    if not first.exists():
        write_people(first)
    shutil.copytree(first, folder)


def act(folder: Path) -> None:
    signed(reading(), "rob", folder)


def check(folder: Path) -> None:
    chain = verify(folder)
    assert chain.faults == ()
    assert len(chain.records) in (5, 6)
    act(folder)
    assert verify(folder).faults == ()


def test_a_kill_at_any_point_leaves_the_chain_whole(
    forker: Executor, tmp_path: Path
) -> None:
    """Opens for writing, links and removals are the steps."""
    steps = check_each_kill(forker, tmp_path, prepare=prepare, act=act, check=check)

    assert steps >= 4


def enrol(folder: Path) -> None:
    add_person("eve", "Dr Eve", ("lead",), password_of("eve"), folder, by=ADMIN)


def check_enrolled(folder: Path) -> None:
    if "eve" not in verify(folder).roster.active:
        enrol(folder)  # a key file that no record knows is replaced
    signed(decision(), "eve", folder)
    assert verify(folder).faults == ()


def test_a_kill_while_somebody_is_added_leaves_the_name_free(
    forker: Executor, tmp_path: Path
) -> None:
    steps = check_each_kill(
        forker, tmp_path, prepare=prepare, act=enrol, check=check_enrolled
    )

    assert steps >= 6


def test_a_copy_of_the_project_goes_on_from_its_head(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "copy")

    assert signed(decision(), "lea", tmp_path / "copy").number == 13
