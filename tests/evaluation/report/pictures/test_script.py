"""In a browser: no error, no request, no cut page, and panels that scroll and zoom."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from segpipe.evaluation.report.page import Card, Part, Row, Table, build_page
from segpipe.evaluation.report.pictures.panels import ShownCase, build_panels
from segpipe.evaluation.report.pictures.planes import Exhibit
from tests.support.browser import browser
from tests.support.plots import make_photo, make_volume

CASES = {
    "3-D": make_volume(),
    "2-D": make_photo(instances=False),
    "instances": make_photo(instances=True),
    "nothing found": make_volume(found=False),
    "40 structures": make_volume(40),
}


@dataclass(frozen=True)
class Opened:
    """A page, what its console said, and what it asked for beside itself."""

    page: Page
    errors: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


def open_page(chromium: Browser, folder: Path, exhibit: Exhibit) -> Opened:
    dice = {"a": {one.name: 0.25 for one in exhibit.structures}}
    part = Part(
        "What it looks like",
        "Words.",
        Table(("", *(f"model {n}" for n in range(30))), (Row(("Dice",) * 31),)),
        panels=tuple(build_panels([ShownCase("worst", "Worst", exhibit, dice)])),
    )
    file = folder / "index.html"
    file.write_text(build_page("Title", "sub", [Card("a", "1", "n")], [part], "end"))
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    opened = Opened(page, [], [])
    page.on("console", lambda message: opened.errors.append(message.text))
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url[:200]))
    page.goto(file.as_uri())
    return opened


@pytest.fixture(params=CASES)
def opened(
    request: pytest.FixtureRequest, chromium: Browser, tmp_path: Path
) -> Iterator[Opened]:
    found = open_page(chromium, tmp_path, CASES[request.param])
    yield found
    found.page.close()


@pytest.fixture
def volume(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page of a volume of two planes."""
    found = open_page(chromium, tmp_path, CASES["3-D"])
    yield found.page
    assert found.errors == []
    found.page.close()


def test_a_page_opens_without_errors_and_requests_and_fits(opened: Opened) -> None:
    for width in (1366, 1024, 390):
        opened.page.set_viewport_size({"width": width, "height": 768})
        wide = opened.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
    pdf = opened.page.pdf(format="A4")

    assert pdf.startswith(b"%PDF")
    assert opened.errors == []
    outer = [url for url in opened.requests if not url.startswith("data:")]
    assert outer == [opened.page.url]


def test_the_mark_and_its_letters_stand_where_they_belong(volume: Page) -> None:
    """The phantom is bright at the right and front, so at the upper left."""
    picture = volume.locator(".picture").first
    shot = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"))
    box = picture.bounding_box()  # where the screenshot scrolled it

    rows, columns = shot.shape
    assert shot[: rows // 10, : columns // 15].mean() > 200
    assert shot[rows // 2 :, : columns // 3].mean() < 60
    assert box
    assert box["height"] / box["width"] == pytest.approx(24 * 1.5 / 30, rel=0.02)
    places = {}
    for letter in "RLAP":
        at = picture.locator(f"span:text-is('{letter}')").first
        found = at.evaluate(
            "one => { const range = document.createRange(); range.selectNode("
            "one.firstChild); const at = range.getBoundingClientRect(); return ["
            "at.x + at.width / 2, at.y + at.height / 2] }"
        )
        x, y = found
        places[letter] = (x - box["x"]) / box["width"], (y - box["y"]) / box["height"]
    assert places["R"][0] < 0.1 < 0.9 < places["L"][0]
    assert places["A"][1] < 0.1 < 0.9 < places["P"][1]


def test_contours_are_seen_in_their_colours_over_dark_borders(volume: Page) -> None:
    pictures = volume.locator(".picture")
    image, reference, model = (
        np.asarray(
            Image.open(io.BytesIO(pictures.nth(n).screenshot())).convert("RGB"), int
        )
        for n in range(3)
    )

    def blue(shot: np.ndarray) -> int:
        return int((shot[..., 2] - shot[..., 0] > 80).sum())

    assert blue(image) == 0
    assert blue(reference) > 100
    assert blue(model) > 100
    white = (model.min(axis=-1) > 240).sum()
    assert white > (reference.min(axis=-1) > 240).sum() + 50


def test_slices_scroll_by_slider_and_keys(volume: Page) -> None:
    panel = volume.locator(".panel").first
    shown = panel.locator("output")
    slider = panel.locator("input[type=range]")

    assert shown.inner_text() == "slice 7 of 12 (k = 6)"
    slider.focus()
    volume.keyboard.press("ArrowRight")
    assert shown.inner_text() == "slice 8 of 12 (k = 7)"
    hrefs = panel.locator("use").evaluate_all(
        "all => all.map(use => use.getAttribute('href'))"
    )
    assert {href.split("-")[1][0] for href in hrefs} == {"3"}
    panel.focus()
    for _ in range(9):
        volume.keyboard.press("PageDown")
    assert shown.inner_text() == "slice 9 of 12 (k = 8)"  # the last one
    volume.keyboard.press("0")
    assert shown.inner_text() == "slice 7 of 12 (k = 6)"
    other = volume.locator(".panel").nth(1)
    assert other.locator("output").inner_text() == "slice 7 of 12 (k = 6)"


def test_the_wheel_scrolls_slices_once_a_panel_was_clicked(volume: Page) -> None:
    """Until then it scrolls the page, which must not get stuck at a picture."""
    panel = volume.locator(".panel").first
    picture = panel.locator(".picture").nth(1)
    shown = panel.locator("output")

    picture.hover()
    volume.mouse.wheel(0, 10)
    assert shown.inner_text() == "slice 7 of 12 (k = 6)"
    picture.click()
    volume.mouse.wheel(0, 10)
    volume.wait_for_function(
        "document.querySelector('output').textContent.includes('slice 8')"
    )
    volume.keyboard.down("Control")
    volume.mouse.wheel(0, -10)
    volume.keyboard.up("Control")
    volume.wait_for_function(
        "document.querySelector('.picture svg').getAttribute('viewBox') !== '0 0 30 36'"
    )


def test_all_pictures_of_a_plane_zoom_together_and_so_does_the_scale(
    volume: Page,
) -> None:
    panel = volume.locator(".panel").first
    bar = panel.locator(".bar").first

    def boxes() -> list[str]:
        return panel.locator(".picture svg").evaluate_all(
            "all => all.map(one => one.getAttribute('viewBox'))"
        )

    assert set(boxes()) == {"0 0 30 36"}
    assert bar.inner_text() == "5\N{NO-BREAK SPACE}mm"
    for _ in range(4):
        panel.get_by_role("button", name="Zoom in").click()
    (box,) = set(boxes())
    width = float(box.split()[2])
    assert width == pytest.approx(30 / 1.5**4)
    assert bar.inner_text() == "1\N{NO-BREAK SPACE}mm"
    share = bar.evaluate("one => one.clientWidth / one.parentNode.clientWidth")
    assert share == pytest.approx(1 / width, rel=0.05)
    panel.get_by_role("button", name="Back").click()
    assert set(boxes()) == {"0 0 30 36"}


def test_all_controls_are_reached_by_tab(volume: Page) -> None:
    reached = []
    for _ in range(12):
        volume.keyboard.press("Tab")
        reached.append(
            volume.evaluate(
                "[document.activeElement.className, document.activeElement.tagName,"
                " document.activeElement.dataset.key || ''].join(' ').trim()"
            )
        )
    one = ["panel DIV", "INPUT", "BUTTON +", "BUTTON -", "BUTTON 0"]
    start = reached.index("panel DIV")

    assert reached[start : start + 10] == [*one, *one]


def test_without_scripts_the_chosen_slice_is_seen(
    chromium: Browser, tmp_path: Path, volume: Page
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.set_viewport_size({"width": 1366, "height": 768})
    plain.goto(volume.url)

    shots = [
        np.asarray(
            Image.open(
                io.BytesIO(page.locator(".picture svg").nth(2).screenshot())
            ).convert("L"),
            float,
        )
        for page in (plain, volume)
    ]
    assert np.abs(shots[0] - shots[1]).mean() < 5
    context.close()
