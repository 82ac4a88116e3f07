"""The pages work in a browser, by keys alone, and send nothing that is hidden."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from segpipe.review.server.pages import FILES, ROOM
from tests.support.browser import browser
from tests.support.dossiers import SECRETS
from tests.support.readers import PASSWORD, Review, open_review, served

LOADS_MS = 90_000  # a software renderer on a machine under load
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    with served(open_review(tmp_path_factory.mktemp("review"))) as review:
        review.add("jane")
        yield review


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    root = tmp_path_factory.mktemp("flat")
    picture = open_review(root, items=1, shape=(64, 48, 1), unit="px")
    with served(picture) as review:
        review.add("jane")
        yield review


def enter(page: Page, review: Review) -> None:
    """Log in and open the first case, by keys alone."""
    page.goto(review.url)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("jane")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    page.locator("a.main").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-shown]", timeout=LOADS_MS)


def pixels(page: Page) -> np.ndarray:
    """The canvas as the graphics card has it: row, column, red green blue."""
    width, height, data = page.evaluate(
        """() => {
          const nv = window.viewer.nv, gl = nv.gl;
          nv.drawScene();
          const [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
          const data = new Uint8Array(w * h * 4);
          gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, data);
          let text = "";
          for (let at = 0; at < data.length; at += 32768)
            text += String.fromCharCode(...data.subarray(at, at + 32768));
          return [w, h, btoa(text)];
        }"""
    )
    flat = np.frombuffer(base64.b64decode(data), np.uint8)
    return flat.reshape(height, width, 4)[::-1, :, :3].astype(int)


def tinted(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a half-transparent colour lies over grey: the hue of it."""
    grey = image - image.min(axis=2, keepdims=True)
    hue = np.array(colour) - min(colour)
    norm = np.linalg.norm(grey, axis=2)
    cosine = (grey @ hue) / (np.maximum(norm, 1) * np.linalg.norm(hue))
    return np.asarray((norm > 40) & (cosine > 0.98))


def test_niivue_is_the_pinned_file_with_its_licence() -> None:
    """The digest is that of dist/niivue.umd.js in the npm package 0.69.0."""
    vendor = ROOM / "vendor"
    digest, name = (vendor / "niivue.umd.js.sha256").read_text().split()

    assert FILES["niivue.js"][0] == f"vendor/{name}"
    assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert digest.startswith("47b896b77ec4a5be")
    assert "BSD 2-Clause" in (vendor / "niivue.LICENSE").read_text()


def test_a_case_is_read_by_keys_alone_and_nothing_hidden_is_sent(
    chromium: Browser, review: Review, tmp_path: Path
) -> None:
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
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
    axial = pixels_of_axial(page)
    for colour in (ORANGE, BLUE):
        rows, columns = np.nonzero(tinted(axial, colour))
        assert len(rows) > 100
        assert columns.mean() < axial.shape[1] / 2
    assert page.evaluate("window.viewer.nv.opts.isRadiologicalConvention") is True
    page.keyboard.press("h")
    assert not tinted(pixels_of_axial(page), ORANGE).any()
    page.keyboard.press("a")
    filled = tinted(pixels_of_axial(page), ORANGE).sum()
    page.keyboard.press("o")
    assert 100 < tinted(pixels_of_axial(page), ORANGE).sum() < filled / 2
    page.keyboard.press("o")

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
    page.close()


def sum_of(review: Review, letter: str, value: int) -> int:
    item = review.volume.dossier.items[0].id
    path = review.volume.folder / f"items/{item}/{letter}.nii.gz"
    return int((np.asanyarray(nib.load(path).dataobj) == value).sum())


def pixels_of_axial(page: Page) -> np.ndarray:
    """The whole canvas as the axial plane, then the layout as it was."""
    page.evaluate("window.viewer.setLayout('axial')")
    image = pixels(page)
    page.evaluate("window.viewer.setLayout('planes and 3-D')")
    return image


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


def test_a_picture_is_shown_as_it_is_stored(chromium: Browser, flat: Review) -> None:
    """The ball lies at column 30 of 64 and row 24 of 48, the spot above at row 10."""
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    enter(page, flat)
    image = pixels(page)
    ball, spot = (np.nonzero(tinted(image, colour)) for colour in (ORANGE, BLUE))

    assert len(ball[0]) > len(spot[0]) > 100
    assert spot[0].mean() < ball[0].mean()
    assert ball[1].mean() < image.shape[1] / 2
    assert page.locator('.size[data-letter="A"][data-value="2"]').inner_text() == (
        f"{sum_of(flat, 'A', 2)} px"
    )
    page.close()


def test_without_webgl_there_is_a_picture_of_the_planes(
    chromium: Browser, review: Review
) -> None:
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.add_init_script(
        "HTMLCanvasElement.prototype.getContext = () => null;"  # as such browsers do
    )
    enter(page, review)

    expect(page.locator("#montage")).to_be_visible()
    assert page.evaluate("document.getElementById('montage').naturalWidth") > 0
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (683, 384)])
def test_the_page_fits_a_small_screen_and_twice_the_size(
    chromium: Browser, review: Review, width: int, height: int
) -> None:
    """At 200 % zoom, a screen of 1366 by 768 has 683 by 384 CSS pixels."""
    page = chromium.new_page(viewport={"width": width, "height": height})
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    enter(page, review)

    sideways = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert sideways == 0
    store = page.locator("#store")
    store.scroll_into_view_if_needed()
    expect(store).to_be_in_viewport()
    page.close()
