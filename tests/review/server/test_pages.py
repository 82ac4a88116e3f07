"""The pages work in a browser, by keys alone, and send nothing that is hidden."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from segpipe.approval.chain.signing import append
from segpipe.project.errors import DataError
from segpipe.review.accounts.assignments import list_tasks
from segpipe.review.accounts.users import find_user
from segpipe.review.dossier import item_folder
from segpipe.review.server.pages import FILES, ROOM, write_bundle
from segpipe.review.server.routes.corrections import Brush
from segpipe.review.shelf import open_volume
from tests.support.browser import browser, launch
from tests.support.dossiers import SECRETS, write_dossier
from tests.support.reach import find_cut, find_serious, find_unreachable
from tests.support.readers import (
    PASSWORD,
    Review,
    known_member,
    open_review,
    send,
    served,
    sign_all,
)
from tests.support.screens import (
    BLUE,
    LOADS_MS,
    ORANGE,
    axial,
    carry,
    enter,
    open_signed,
    paint_at,
    pixels,
    seen,
    tinted,
)
from tests.support.work import control, reading_of, shown, write_work

NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"
SIGNED = {
    "record": 7,
    "added_path_mm": 0.0,
    "changed_ml": {"ball": 0.0, "spot": 0.2},
    "added_path_px": None,
    "changed_px": {},
}
SMALL = {"width": 1000, "height": 600}  # a software renderer takes time for each pixel


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    """One server for all: balls for jane, a picture for paul."""
    root = tmp_path_factory.mktemp("review")
    write_dossier(
        root / ".reviews/picture-1",
        items=1,
        shape=(64, 48, 1),
        unit="px",
        name="picture",
    )
    write_dossier(
        root / ".reviews/followed-1", items=2, name="followed", previous=(28, 14)
    )
    with served(open_review(root)) as review:
        review.add("jane", "reader", "lead")
        followed = open_volume(root / ".reviews/followed-1")
        own = replace(review, volume=followed)
        own.add("sue")
        own.add("sam")
        assert send(known_member(own, "sam"), own.item(0), **own.ratings()) == 303
        review.add("nora", reads=False)
        sign_all(review, "joan")
        sign_all(flat_of(review), "paul")
        yield review


def flat_of(review: Review) -> Review:
    """The same server, with the picture."""
    picture = open_volume(review.root / ".reviews/picture-1")
    return replace(review, volume=picture)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context(viewport=SMALL) as context:
        yield context.new_page()


def test_niivue_is_the_pinned_file_with_its_licence() -> None:
    """The digest is that of dist/niivue.umd.js in the npm package 0.69.0."""
    vendor = ROOM / "vendor"
    digest, name = (vendor / "niivue.umd.js.sha256").read_text().split()

    assert FILES["niivue.js"][0] == f"vendor/{name}"
    assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert digest.startswith("47b896b77ec4a5be")
    assert "BSD 2-Clause" in (vendor / "niivue.LICENSE").read_text()


def test_a_case_is_read_by_keys_alone_and_nothing_hidden_is_sent(
    page: Page, review: Review
) -> None:
    traffic: list[Response] = []
    problems: list[str] = []
    loads: list[int] = []
    page.on("response", lambda answer: traffic.append(answer))
    page.on("framenavigated", lambda _: loads.append(len(traffic)))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda said: problems.append(said.text) if said.type == "error" else None,
    )
    enter(page, review)
    first = page.get_attribute("body", "data-shown")
    where = page.locator("#where")

    # The masks of A: both structures are on the patient's right, so at the left.
    axial(page)
    image = pixels(page)
    for colour in (ORANGE, BLUE):
        rows, columns = np.nonzero(tinted(image, colour))
        assert len(rows) > 100
        assert columns.mean() < image.shape[1] / 2
    assert page.evaluate("window.viewer.nv.opts.isRadiologicalConvention") is True
    page.keyboard.press("h")
    assert not tinted(pixels(page), ORANGE).any()
    page.keyboard.press("a")

    # A ball of radius 8 in voxels of 3 mm3 that the spot of B covers a part of.
    assert page.locator('.size[data-letter="A"][data-value="1"]').inner_text() == (
        f"{sum_of(review, 'A', 1) * 3 / 1000:.2f} ml"
    )
    page.keyboard.press("n")
    expect(where).to_contain_text("A and B differ, place 1 of")
    said = where.inner_text()
    assert said.split("A: ")[1] != said.split("B: ")[1]
    page.keyboard.press("v")
    page.keyboard.press("n")
    expect(where).to_contain_text("A and C are the same")

    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("Not rated yet")
    for key in "a44b31c40":
        page.keyboard.press(key)
    page.keyboard.press("m")
    page.keyboard.type("no key 1 here?")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("body[data-next]", timeout=LOADS_MS)
    assert page.get_attribute("body", "data-shown") != first
    expect(page.get_by_role("heading", name="Case 2 of 3")).to_be_visible()
    # Log in, queue, case: the browser has the bodies since the third load.
    assert_hides(traffic[loads[2] :], review)
    assert all(answer.url.startswith(review.url) for answer in traffic)
    page.goto(review.url + review.item(0))
    shown = {
        field: page.locator(f"#score-{field}").input_value()
        for field in ("A-1", "A-2", "B-1", "B-2", "C-1", "C-2")
    }
    assert shown == {
        "A-1": "4",
        "A-2": "4",
        "B-1": "3",
        "B-2": "1",
        "C-1": "4",
        "C-2": "none",
    }

    assert [text for text in problems if "status of 422" not in text] == []


@pytest.fixture(scope="module")
def balls(chromium: Browser, review: Review) -> Iterator[Page]:
    """The first case as joan, who signed all; tests leave it as they found it."""
    with chromium.new_context(viewport=SMALL) as context:
        page = context.new_page()
        open_signed(page, review, "joan")
        yield page


@pytest.fixture(scope="module")
def cells(chromium: Browser, review: Review) -> Iterator[Page]:
    """The picture as paul sees it."""
    with chromium.new_context(viewport=SMALL) as context:
        page = context.new_page()
        open_signed(page, flat_of(review), "paul")
        yield page


def sum_of(review: Review, letter: str, value: int) -> int:
    item = review.volume.dossier.items[0].id
    path = review.volume.folder / f"items/{item}/{letter}.nii.gz"
    return int((np.asanyarray(nib.load(path).dataobj) == value).sum())


def assert_hides(traffic: list[Response], review: Review) -> None:
    """Read all that the browser was sent: addresses, headers and bodies."""
    read: dict[str, int] = {}
    for answer in traffic:
        body = b"" if answer.status == 303 else answer.body()
        everything = f"{answer.url} {answer.all_headers()}".encode() + body
        found = [secret for secret in SECRETS if secret.encode() in everything]
        # NiiVue is the pinned file, which has words such as candidate of its own.
        assert not found or answer.url.endswith("/niivue.js"), answer.url
        read[answer.url.removeprefix(review.url)] = len(body)

    assert sum(read.values()) > 2_000_000
    assert {review.item(place) + "/A.nii.gz" for place in (0, 1)} <= {*read}
    assert review.item(1) in read  # the next case, which came by a script


def test_outlines_end_where_the_structure_does_in_every_slice(
    balls: Page,
) -> None:
    """The ball of radius 8 is 7 voxels wide a slice before its end.

    An outline in three dimensions takes nearly all of them for border, and fills them.
    """
    page = balls
    axial(page)
    page.keyboard.press("o")
    inside = {}
    for k in (14, 21):
        page.evaluate("(k) => window.viewer.go([30, 24, k])", k)
        line = tinted(seen(page), ORANGE)
        rows, columns = np.nonzero(line)
        box = line[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inside[k] = box.mean()
        assert line.sum() > 100
        wide = np.ptp(columns) / page.evaluate("viewer.planes.list()[0].scale[0]")
        assert abs(wide) == pytest.approx({14: 17, 21: 7}[k], abs=0.5)

    assert max(inside.values()) < 0.15
    page.keyboard.press("h")
    assert not tinted(seen(page), ORANGE).any()
    page.keyboard.press("a")
    page.keyboard.press("o")


def white(image: np.ndarray) -> int:
    return int((image > 250).all(axis=2).sum())


def test_a_distance_is_measured_from_the_mark_to_the_cross(
    balls: Page, review: Review
) -> None:
    page, where = balls, balls.locator("#where")
    folder = item_folder(review.volume.folder, review.volume.dossier.items[0].id)
    spacing = nib.load(folder / "image.nii.gz").header.get_zooms()
    axial(page)
    page.evaluate("viewer.go([30, 20, 14])")
    bare = white(seen(page))
    page.evaluate("viewer.go([10, 12, 14])")
    page.keyboard.press("d")
    page.evaluate("viewer.go([30, 20, 14])")

    length = np.hypot(20 * spacing[0], 8 * spacing[1])
    expect(where).to_contain_text(f"{length:.1f} mm from the mark")
    expect(page.locator("[data-do=d]")).to_have_attribute("aria-pressed", "true")
    assert white(seen(page)) > bare + 100  # the line, two pixels wide
    page.keyboard.press("d")
    expect(where).not_to_contain_text("mark")


def test_a_picture_is_shown_as_it_is_stored(cells: Page, review: Review) -> None:
    """The ball lies at column 30 of 64 and row 24 of 48, the spot above at row 10."""
    page, flat = cells, flat_of(review)
    image = pixels(page)
    ball, spot = (np.nonzero(tinted(image, colour)) for colour in (ORANGE, BLUE))

    assert len(ball[0]) > len(spot[0]) > 100
    assert spot[0].mean() < ball[0].mean()
    assert ball[1].mean() < image.shape[1] / 2
    assert page.locator('.size[data-letter="A"][data-value="2"]').inner_text() == (
        f"{sum_of(flat, 'A', 2)} px"
    )


@pytest.mark.parametrize("name", ["joan", "paul"])
def test_the_brush_changes_the_voxels_of_the_file_under_the_pointer(
    balls: Page, cells: Page, review: Review, name: str
) -> None:
    """In C order of the file's array; the picture's i and j run against R and A.

    The middle of the spot, which lies to one side in i and j, is rubbed out.
    """
    own = review if name == "joan" else flat_of(review)
    page = balls if name == "joan" else cells
    sent: list[dict[str, object]] = []
    page.route(
        "**/corrections",
        lambda route: (
            sent.append(route.request.post_data_json),
            route.fulfill(status=201, json=SIGNED),
        ),
    )
    axial(page)
    item = own.volume.items[page.url.rpartition("/")[2]]
    path = own.volume.folder / f"items/{item.id}/C.nii.gz"
    mask = np.asanyarray(nib.load(path).dataobj)
    i, j, k = 30, 10, mask.shape[2] // 2
    assert mask[i, j, k] == 2
    shown = [i, j, k] if name == "joan" else [63 - i, 47 - j, 0]
    page.evaluate("(voxel) => window.viewer.go(voxel)", [2, 2, k])
    for key in "er]":
        page.keyboard.press(key)
    before = tinted(pixels(page), BLUE).sum()
    paint_at(page, shown)
    assert tinted(pixels(page), BLUE).sum() < before
    page.keyboard.press("k")
    page.keyboard.type("spot too large")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is signed as record 7")
    (one,) = sent
    after = mask.flatten(order="C")
    for start, length, value in one["runs"]:
        after[start : start + length] = value
    spacing = (1.5, 1.0, 2.0) if name == "joan" else (1, 1, 1)
    axes = [np.arange(n) - c for n, c in zip(mask.shape, (i, j, k), strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    disc = (np.hypot(x * spacing[0], y * spacing[1]) <= 3.5) & (z == 0)
    np.testing.assert_array_equal(
        after.reshape(mask.shape), np.where(disc & (mask > 0), 0, mask)
    )
    assert one["base"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert one.keys() == Brush.model_fields.keys()
    assert (one["letter"], one["comment"]) == ("C", "spot too large")
    assert one["password"] == PASSWORD
    assert page.locator("#correction-password").input_value() == ""
    assert tinted(pixels(page), BLUE).sum() == before  # as delivered again
    for key in "r[e":
        page.keyboard.press(key)


def test_a_correction_that_was_not_sent_is_not_lost_in_silence(
    balls: Page,
) -> None:
    page = balls
    axial(page)
    page.keyboard.press("e")
    page.keyboard.press("z")
    page.keyboard.press("Space")
    expect(page.locator("#shown")).to_contain_text("New mask, editing: paint ball")
    address, asked = page.url, []
    page.once("dialog", lambda one: (asked.append(one.type), one.dismiss()))
    page.get_by_role("link", name="Queue").click(no_wait_after=True)
    page.wait_for_timeout(100)
    assert (asked, page.url) == (["beforeunload"], address)
    page.keyboard.press("u")

    expect(page.locator("#shown")).to_contain_text(" 0 voxels changed")
    page.keyboard.press("z")
    page.keyboard.press("e")


def test_who_has_not_signed_is_told_when_and_why_a_mask_may_be_corrected(
    page: Page, review: Review
) -> None:
    page.add_init_script(NO_WEBGL)
    enter(page, review)
    page.keyboard.press("e")

    for place in (page.get_by_role("status"), page.locator("#panel")):
        expect(place).to_contain_text("Sign your readings of this review first: a corr")
    expect(page.get_by_role("button", name="Rub out")).to_have_count(0)


def test_editing_moves_nothing_and_shows_no_mask_of_a_model(balls: Page) -> None:
    """A reference is drawn without a model in view; C is the reference."""
    page = balls
    places = "[...document.querySelectorAll('.bar *, .stage, .panel')]"
    boxes = f"{places}.map((one) => JSON.stringify(one.getBoundingClientRect()))"
    shown = page.locator("#shown")
    for width, height in ((1366, 768), (683, 384)):
        page.set_viewport_size({"width": width, "height": height})
        page.keyboard.press("a")
        before = page.evaluate(boxes)
        page.keyboard.press("e")
        expect(shown).to_contain_text("Masks of C, the reference, editing")
        assert page.evaluate(boxes) == before
        for key in "abn":
            page.keyboard.press(key)
        expect(shown).to_contain_text("Masks of C")
        expect(page.locator("#where")).not_to_contain_text("A:")
        page.keyboard.press("e")
    page.set_viewport_size(SMALL)


def grey_of(page: Page) -> float:
    """Grey of the previous study, which is the same in all of a slice."""
    image = pixels(page, of="previous")
    return float(np.median(image[image.sum(axis=2) > 0]))


def test_a_previous_study_is_beside_the_image_in_its_window(
    page: Page, review: Review
) -> None:
    """A voxel has 60 + 4k; the window soft shows 60 as black and 180 as white.

    The first case has one on its own grid, so both show one place; the second has one
    of 14 slices, so it has a slider of its own.
    """
    traffic: list[Response] = []
    page.on("response", lambda answer: traffic.append(answer))
    volume = open_volume(review.root / ".reviews/followed-1")
    enter(page, replace(review, volume=volume), "sue")
    page.locator("#window").select_option("1")
    page.locator("#layout").select_option("axial")
    page.evaluate("window.viewer.go([5, 5, 20])")
    page.keyboard.press("ArrowUp")
    assert grey_of(page) == pytest.approx(4 * 21 * 255 / 120, abs=2)
    assert page.evaluate("window.previous.nv.volumes.length") == 1  # no mask
    slider = page.get_by_label("Slice")
    expect(slider).to_be_hidden()
    page.evaluate("window.previous.nv.scene.crosshairPos = [.5, .5, .5]")
    page.locator("#before-canvas").click()  # its cross moves that of the image
    here, there = (
        page.evaluate(f"window.{one}.where()") for one in ("viewer", "previous")
    )
    assert here == there != [5, 5, 21]

    for key in "a44b44c44":
        page.keyboard.press(key)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("body[data-next]", timeout=LOADS_MS)
    page.locator("#window").select_option("1")
    page.locator("#layout").select_option("axial")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    assert grey_of(page) == pytest.approx(4 * 11 * 255 / 120, abs=2)
    assert page.evaluate("window.viewer.where()[2]") == 14  # which did not move
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowUp")
    assert grey_of(page) == pytest.approx(4 * 11 * 255 / 120, abs=2)
    for answer in traffic:
        if "/items/" in answer.url and answer.status == 200:
            assert not [one for one in SECRETS if one.encode() in answer.body()]


def test_without_webgl_there_is_a_picture_of_the_planes(
    chromium: Browser, review: Review
) -> None:
    without = ("--disable-gpu", "--disable-webgl", "--disable-webgl2")
    with launch(chromium.browser_type, *without) as plain:
        page = plain.new_page(viewport=SMALL)
        enter(page, review)

        expect(page.locator("#montage")).to_be_visible()
        page.wait_for_function("document.getElementById('montage').naturalWidth > 0")
        expect(page.locator("#wait")).to_contain_text("no WebGL")
        for key in "a4bo":
            page.keyboard.press(
                key
            )  # rating goes on, what needs the image does nothing
        assert page.locator("#score-A-1").input_value() == "4"


def test_ratings_outlive_a_session_that_ended_and_a_server_that_fails(
    page: Page, review: Review
) -> None:
    """A laptop was closed for hours with a case half rated."""
    review.add("june")
    enter(page, review, "june")
    for one in page.locator("select[name^=score]").all():
        one.select_option("3")
    page.locator(".remarks input:not([type])").first.fill("seen twice")
    page.context.clear_cookies()
    page.locator("#store").click()

    expect(page.locator("#wait")).to_contain_text("Not stored: your session has ended")
    with page.expect_popup() as opened:
        page.locator("#wait a").click()
    opened.value.fill("#name", "june")
    opened.value.fill("#password", PASSWORD)
    opened.value.click("button.main")
    expect(opened.value.get_by_role("heading", name="My queue")).to_be_visible()
    opened.value.close()
    page.route(review.url + review.item(0), lambda one: one.fulfill(status=503))
    page.locator("#store").click()
    expect(page.locator("#wait")).to_contain_text("Not stored")
    assert page.locator("#score-A-1").input_value() == "3"
    page.unroute_all()
    page.locator("#store").click()

    expect(page.locator("header .middle")).to_contain_text("2")
    user, _ = find_user(review.database, "june", review.roster)
    first = list_tasks(review.database, user, review.volume.digest)[0]
    assert first.reading is not None
    assert first.reading.ratings["A"]["ball"]["comment"] == "seen twice"


def test_without_scripts_there_is_the_picture_and_the_form(
    chromium: Browser, review: Review
) -> None:
    with chromium.new_context(viewport=SMALL, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(review.url)
        page.fill("#name", "jane")
        page.fill("#password", PASSWORD)
        page.click("button.main")
        page.goto(review.url + review.item(1))

        expect(page.locator("noscript img")).to_be_visible()
        expect(page.locator("#wait")).to_be_hidden()
        expect(page.locator("#store")).to_be_attached()


def test_a_bundle_opens_from_a_folder_and_holds_nothing_hidden(
    page: Page, review: Review, tmp_path: Path
) -> None:
    followed = open_volume(review.root / ".reviews/followed-1")
    first = write_bundle(followed, tmp_path / "bundle")
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(first.as_uri())
    page.get_by_role("link", name="Case 1 of 2").click()
    page.wait_for_selector("body[data-shown]", timeout=LOADS_MS)
    axial(page)
    image = pixels(page)
    for colour in (ORANGE, BLUE):
        assert np.nonzero(tinted(image, colour))[1].mean() < image.shape[1] / 2
    assert grey_of(page) > 0  # of the previous study
    assert page.locator("form[method=post], select[name], #store").count() == 0
    page.keyboard.press("e")
    expect(page.locator("#shown")).to_have_text("Masks of A")
    page.get_by_role("link", name="Next case").click()
    page.wait_for_selector("body[data-shown]", timeout=LOADS_MS)

    assert problems == []
    for path in first.parent.rglob("*"):
        assert path.name != "key.json"
        if path.is_file() and "niivue" not in path.name:
            content = path.read_bytes()
            assert not [one for one in SECRETS if one.encode() in content], path
    with pytest.raises(DataError, match="expected no folder yet, found one"):
        write_bundle(followed, first.parent)


@pytest.fixture(scope="module")
def decided(review: Review) -> Review:
    """Beside the others a review that is all signed, so that jane may decide on it."""
    items = {"item1": shown(), "item2": shown("worst", "case2"), "item3": control()}
    volume = write_work(review.root, items)
    for name in ("joan", "sue"):
        for item in items:
            score = 1 if item == "item3" else 3
            said = reading_of(volume, item, {"candidate": score})
            append(said, name, PASSWORD, review.root)
    return replace(review, volume=volume)


@dataclass(frozen=True)
class State:
    """A page as somebody sees it: whose, which address, and what was done there.

    An address begins with ``/``, with ``sign`` and the like of the own review, or is
    an item of it by its place.
    """

    who: str = ""
    address: str | int = "/"
    volume: str = "phantom-3"
    keys: tuple[str, ...] = ()
    shows: str = "main"
    draws: bool = False


STATES = {
    "login": State(shows="#password"),
    "login refused": State(keys=("x", "Tab", "y", "Enter"), shows=".problem"),
    "queue, empty": State("nora", shows="text=Nothing is assigned to you"),
    "queue of a lead": State("jane", shows="text=Lead this review"),
    "case, 3-D": State("joan", 0, draws=True, shows="#edit-tools"),
    "keys": State("joan", 0, draws=True, keys=("?",), shows="#keys[open]"),
    "editing": State("joan", 0, draws=True, keys=("e",), shows="text=editing: paint"),
    "correction": State(
        "joan", 0, draws=True, keys=("e", "z", " ", "k"), shows="#correction[open]"
    ),
    "case, 2-D": State("paul", 0, "picture-1", draws=True, shows="#edit-tools"),
    "case, unsigned": State("sam", 1, "followed-1", shows="#previous-montage"),
    "case, not rated": State(
        "sam", 1, "followed-1", keys=("Control+Enter",), shows=".problem"
    ),
    "sign": State("sam", "sign", "followed-1", shows="text=not signed yet"),
    "sign refused": State(
        "sam", "sign", "followed-1", keys=("x", "Enter"), shows=".problem"
    ),
    "letters": State("joan", "results", shows="text=reference"),
    "lead, not signed": State("jane", "lead", "followed-1", shows="text=missing"),
    "lead, all signed": State("jane", "lead", "liver-3", shows="text=kappa"),
    "decide": State("jane", "decide", "liver-3", shows="#reason"),
    "refused": State("jane", "/nowhere", shows="text=Not possible"),
    "refused, no lead": State("joan", "lead", shows="text=Not possible"),
}


@pytest.mark.parametrize("name", STATES)
def test_no_state_of_a_page_keeps_anybody_out(
    name: str, chromium: Browser, decided: Review, request: pytest.FixtureRequest
) -> None:
    """By axe-core; and at 1366 x 768 and twice the size, by Tab and by arithmetic.

    At 200 % zoom, a screen of 1366 by 768 has 683 by 384 CSS pixels.
    """
    state = STATES[name]
    with reached(state, chromium, decided, request) as page:
        page.locator(state.shows).first.wait_for()
        assert find_serious(page) == []
        for width, height in ((1366, 768), (683, 384)):
            page.set_viewport_size({"width": width, "height": height})
            assert find_cut(page) == []
        assert find_unreachable(page) == []


@contextmanager
def reached(
    state: State, chromium: Browser, decided: Review, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The page in a state; pages that draw are those of the other tests."""
    if state.draws:
        page = request.getfixturevalue("balls" if state.who == "joan" else "cells")
        page.set_viewport_size({"width": 1366, "height": 768})
        page.locator("#canvas").focus()
        try:
            press(page, state.keys)
            yield page
        finally:
            page.keyboard.press("Escape")
            page.evaluate("window.brush.restore('empty')")
            for key in reversed(state.keys):
                if key in "ez":
                    page.keyboard.press(key)
            page.set_viewport_size(SMALL)
        return
    folder = decided.root / ".reviews" / state.volume
    own = replace(decided, volume=open_volume(folder))
    address = (
        own.item(state.address)
        if isinstance(state.address, int)
        else (
            state.address
            if state.address.startswith("/")
            else f"{own.address}/{state.address}"
        )
    )
    with chromium.new_context(viewport={"width": 1366, "height": 768}) as context:
        context.add_init_script(NO_WEBGL)
        if state.who:
            carry(context, own, state.who)
        page = context.new_page()
        page.goto(own.url + address)
        if state.keys:  # go to what has the focus once the page is there
            page.wait_for_function("document.activeElement !== document.body")
        press(page, state.keys)
        yield page


def press(page: Page, keys: tuple[str, ...]) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("link", ["", "Case 1 of 2"])
def test_a_bundle_keeps_nobody_out(
    chromium: Browser, review: Review, tmp_path: Path, link: str
) -> None:
    followed = open_volume(review.root / ".reviews/followed-1")
    first = write_bundle(followed, tmp_path / "bundle")
    with chromium.new_context(viewport={"width": 683, "height": 384}) as context:
        context.add_init_script(NO_WEBGL)
        page = context.new_page()
        page.goto(first.as_uri())
        if link:
            page.get_by_role("link", name=link).click()
            page.wait_for_selector("body[data-shown]")
        assert find_serious(page) == []
        assert find_cut(page) == []
        assert find_unreachable(page) == []
