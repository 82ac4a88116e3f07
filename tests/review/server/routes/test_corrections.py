"""Corrections over the wire: who may, what is refused, and that nothing is left."""

import gzip
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect
from scipy.ndimage import binary_erosion

from segpipe.approval import keys
from segpipe.approval.records import Correction
from segpipe.project.paths import Paths
from segpipe.review.accounts.database import open_database
from segpipe.review.corrections.store import corrections_folder, list_filed
from segpipe.review.dossier import item_folder
from segpipe.review.server.guard.limits import BODY_BYTES, LONGER
from tests.support.browser import browser
from tests.support.corrected import (
    ITEM,
    digest_of,
    judged_case,
    write_project,
    write_review,
)
from tests.support.readers import (
    ADMIN,
    PASSWORD,
    Review,
    member,
    send,
    served,
    stranger,
    token_in,
)
from tests.support.reviews import CHEAP
from tests.support.screens import (
    ORANGE,
    axial,
    open_signed,
    paint_at,
    pixels,
    tinted,
)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    """Jane has signed all that she was to read, Joe has not."""
    paths = write_project(tmp_path_factory.mktemp("corrections"))
    volume = write_review(paths, judged_case(paths))
    accounts = open_database(f"sqlite:///{paths.root}/accounts.db")
    with served(Review(accounts, volume, paths.root)) as one:
        keys.COST = CHEAP
        one.add(ADMIN[0], "admin", reads=False)
        one.add("jane")
        one.add("joe")
        yield one


@pytest.fixture(scope="module")
def jane(review: Review) -> httpx.Client:
    client = member(review, "jane")
    assert send(client, review.item(), **review.ratings()) == 303
    assert send(client, f"{review.address}/sign", password=PASSWORD) == 303
    return client


def address(review: Review) -> str:
    return f"{review.address}/items/{ITEM}/corrections"


def words(client: httpx.Client, review: Review, **changed: Any) -> dict[str, Any]:
    return {
        "csrf": token_in(client.get("/").text),
        "password": PASSWORD,
        "letter": "B",
        "base": digest_of(review.volume, "B"),
        "purpose": "reference",
        "comment": "",
        **changed,
    }


def draw(client: httpx.Client, review: Review, **changed: Any) -> httpx.Response:
    sent = {"runs": [[0, 3, 1]], **words(client, review, **changed)}
    return client.post(address(review), json=sent)


def upload(
    client: httpx.Client,
    review: Review,
    content: bytes,
    name: str = "mask.nii.gz",
    **changed: Any,
) -> httpx.Response:
    fields = words(client, review, **changed)
    fields = {key: value or "" for key, value in fields.items()}
    return client.post(
        f"{address(review)}/upload", data=fields, files={"file": (name, content)}
    )


def mask_of(review: Review) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(item_folder(review.volume.folder, ITEM) / "B.nii.gz")
    return np.asarray(image.dataobj).copy(), image.affine


def packed(array: np.ndarray, affine: np.ndarray) -> bytes:
    return gzip.compress(nib.Nifti1Image(array, affine).to_bytes())


def kept(review: Review) -> list[str]:
    folder = corrections_folder(Paths(review.root))
    return sorted(one.name for one in folder.glob("*")) if folder.exists() else []


def test_a_brush_and_a_file_become_signed_records(
    review: Review, jane: httpx.Client
) -> None:
    """Each of the three voxels along k is contour in a slice of its own."""
    drawn = draw(jane, review, comment="a <b>spur</b>")
    mask, affine = mask_of(review)
    mask[0, 0, 0] = 1
    sent = upload(jane, review, packed(mask, affine))

    assert (drawn.status_code, sent.status_code) == (201, 201), (drawn.text, sent.text)
    assert drawn.json()["added_path_mm"] == 3
    assert drawn.json()["changed_ml"]["ball"] == pytest.approx(3 * 2 / 1000)
    one, other = list_filed(Paths(review.root))[:2]
    assert one.record.number == drawn.json()["record"]
    assert isinstance(other.record.content, Correction)
    assert other.record.signer == "jane"
    assert other.mask.is_file()


def test_what_is_drawn_in_a_browser_is_the_mask_on_the_grid_of_the_source(
    review: Review, jane: httpx.Client, tmp_path: Path
) -> None:
    """The source runs to the left and back; nibabel alone says where its voxels are.

    A disc of 3.5 mm, on the patient's left and in one slice, is drawn into the
    reference where it has nothing.
    """
    paths, item = Paths(review.root), item_folder(review.volume.folder, ITEM)
    shown = nib.load(item / "B.nii.gz")
    source = nib.load(paths.data / "labelsTr" / f"{judged_case(paths)}.nii")
    at = np.array([4, 5, 3])
    x, y, z = (shown.affine @ [*at, 1])[:3]
    drawn = np.asarray(source.dataobj).copy()
    assert tuple(np.diag(source.affine)) == (-1, -1, 2, 1)
    i, j, k = np.indices(drawn.shape)
    places = np.stack([i, j, k, np.ones_like(i)]).reshape(4, -1)
    left, front, up, _ = source.affine @ places
    disc = (np.hypot(left - x, front - y) <= 3.5) & np.isclose(up, z)
    drawn[disc.reshape(drawn.shape)] = 1

    with browser() as chromium, chromium.new_context() as context:
        page = context.new_page()
        open_signed(page, review, "jane")
        axial(page)
        page.evaluate("(voxel) => window.viewer.go(voxel)", at.tolist())
        page.keyboard.press("e")
        page.keyboard.press("]")
        before = tinted(pixels(page), ORANGE)
        paint_at(page, at.tolist())
        after = tinted(pixels(page), ORANGE) & ~before
        page.keyboard.press("k")
        page.keyboard.type("missed")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        said = page.get_by_role("status")
        expect(said).to_contain_text("is signed as record")
        words = said.inner_text()
        filed = list_filed(paths)[-1]
        mask, affine = mask_of(review)
        mask[0, 0, 0] = 3
        nib.save(nib.Nifti1Image(mask, affine), tmp_path / "mine.nii.gz")
        page.keyboard.press("f")
        page.locator("#correction-file").set_input_files(tmp_path / "mine.nii.gz")
        page.locator("#correction-password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(said).to_contain_text("mine.nii.gz, added path")

    kept = nib.load(filed.mask)
    assert x < (shown.affine @ [*np.array(shown.shape) / 2, 1])[0]  # on the left
    assert np.nonzero(after)[1].mean() > after.shape[1] / 2
    np.testing.assert_array_equal(kept.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(kept.dataobj), drawn)
    # 37 voxels of 2 mm3; on the contour are those that an erosion takes away.
    added = disc.reshape(drawn.shape)[..., 3]
    path = (added & ~binary_erosion(added)).sum()
    assert filed.content.added_path_mm == path == 16
    assert filed.content.changed_ml == {"ball": 0.074, "core": 0}
    assert f"record {filed.record.number}: 37 voxels, added path 16 mm" in words
    sent = list_filed(paths)[-1]
    assert sent.record.number == filed.record.number + 1
    changed = np.asarray(nib.load(sent.mask).dataobj) != np.asarray(source.dataobj)
    assert changed.sum() == 1


def test_who_has_not_signed_the_readings_learns_nothing(review: Review) -> None:
    """Else a refusal would say which letter is the candidate."""
    joe, before = member(review, "joe"), kept(review)
    answers = [
        draw(joe, review, letter=letter, base=digest_of(review.volume, letter))
        for letter in ("A", "B", "C")
    ]

    assert {one.status_code for one in answers} == {403}
    assert len({one.text for one in answers}) == 1
    assert "Sign your readings" in answers[0].text
    assert kept(review) == before


REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "a forged token": ({"csrf": "x" * 43}, 403),
    "no token": ({"csrf": ""}, 403),
    "a wrong password": ({"password": "other words entirely"}, 401),
    "no password": ({"password": ""}, 401),
    "the candidate's mask": ({"letter": "C"}, 422),
    "the champion's mask": ({"letter": "A"}, 422),
    "for training": ({"purpose": "training"}, 422),
    "another purpose": ({"purpose": "fun"}, 400),
    "another letter": ({"letter": "D"}, 400),
    "a path as a letter": ({"letter": "../../key.json"}, 400),
    "no digest": ({"base": "B"}, 400),
    "a value that is no structure": ({"runs": [[0, 3, 7]]}, 422),
    "voxels outside": ({"runs": [[-1, 3, 1]]}, 422),
    "no runs": ({"runs": "all"}, 400),
    "a run of two numbers": ({"runs": [[0, 3]]}, 400),
    "an unknown key": ({"signer": "lea"}, 400),
    "a long comment": ({"comment": "x" * 5000}, 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_correction_is_refused_and_leaves_nothing(
    name: str, review: Review, jane: httpx.Client
) -> None:
    changed, status = REFUSED[name]
    before, records = kept(review), len(list_filed(Paths(review.root)))
    base = changed.get("letter") if changed.get("letter") in ("A", "C") else None
    if base:
        changed = {**changed, "base": digest_of(review.volume, base)}
    answer = draw(jane, review, **changed)
    draw(jane, review, runs=[])  # a right password ends the count of wrong ones

    assert answer.status_code == status, answer.text
    assert answer.json()["problem"]
    assert kept(review) == before
    assert len(list_filed(Paths(review.root))) == records
    assert str(review.root) not in answer.text
    assert judged_case(Paths(review.root)) not in answer.text


def test_another_grid_and_a_bomb_are_refused_and_leave_nothing(
    review: Review, jane: httpx.Client
) -> None:
    """The readers' own attacks stand with corrections.uploads."""
    before, (mask, affine) = kept(review), mask_of(review)
    answers = [
        upload(jane, review, packed(mask[1:], affine)),
        upload(jane, review, packed(mask * 0 + 9, affine)),
        upload(jane, review, packed(mask, affine) + bytes(10_000)),
        upload(jane, review, b"\x80\x04.", "mask.pkl"),
        upload(jane, review, packed(mask, affine), "../../mask.nii.gz"),
        upload(jane, review, b""),
    ]

    assert {one.status_code for one in answers} == {422}, [a.text for a in answers]
    assert kept(review) == before


def ask(review: Review, path: str, *headers: tuple[str, str], pieces: int = 0) -> int:
    """The status of a request with a body of so many pieces of 1 MB."""
    connection = HTTPConnection(review.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", path)
    for name, value in (("Origin", review.url), *headers):
        connection.putheader(name, value)
    connection.endheaders()
    try:
        for _ in range(pieces):
            connection.send(b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20)))
    except ConnectionError:
        pass
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["", "/upload"])
def test_a_body_is_counted_while_it_arrives_and_by_whom(
    kind: str, review: Review, jane: httpx.Client
) -> None:
    """Strangers are refused before any of it is read."""
    path = address(review) + kind
    most = LONGER[f"corrections{kind}"]
    cookie = "; ".join(f"{name}={value}" for name, value in jane.cookies.items())
    known = ("Cookie", cookie), ("Content-Type", "multipart/form-data; boundary=x")
    chunked = ("Transfer-Encoding", "chunked")

    assert most > BODY_BYTES
    assert ask(review, path, *known, ("Content-Length", str(most + 1))) == 413
    assert ask(review, path, ("Content-Length", str(most + 1))) == 413
    assert ask(review, path, ("Content-Length", str(most))) == 401
    if not kind:
        assert ask(review, path, *known, chunked, pieces=6) == 413


def test_a_stranger_corrects_nothing(review: Review) -> None:
    answer = stranger(review).post(address(review), json={})

    assert answer.status_code == 401


def test_a_name_of_an_address_cannot_make_a_form_longer(review: Review) -> None:
    for path in ("/login/upload", "/reviews/x/upload", "/upload", "/corrections"):
        length = ("Content-Length", str(BODY_BYTES + 1))
        assert ask(review, path, length) == 413
