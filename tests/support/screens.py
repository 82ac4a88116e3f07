"""The page of a case in a browser: how to reach it, and what is to be seen on it."""

import base64
import io

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.readers import PASSWORD, Review, known_member

LOADS_MS = 90_000  # a software renderer on a machine under load
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


def open_signed(page: Page, review: Review, name: str) -> None:
    """Open the first case again, as somebody who has signed all."""
    carry(page.context, review, name)
    page.goto(review.url + review.item(0))
    page.wait_for_selector("body[data-shown]", timeout=LOADS_MS)


def carry(context: BrowserContext, review: Review, name: str) -> None:
    """Give a browser the session of a person."""
    cookies = known_member(review, name).cookies
    context.add_cookies(
        [{"name": n, "value": v, "url": review.url} for n, v in cookies.items()]
    )


def enter(page: Page, review: Review, name: str = "jane") -> None:
    """Log in and open the first case, by keys alone."""
    log_in(page, review, name)
    page.locator("a.main").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-shown]", timeout=LOADS_MS)


def log_in(page: Page, review: Review, name: str) -> None:
    """Log in by keys alone."""
    page.goto(review.url)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()


def settle(page: Page) -> None:
    """Wait until what was last done is drawn, on canvases of the size they now have.

    A button that appears may change the height of a canvas. NiiVue hears of it when the
    next frame is laid out, and draws in the frame after that.
    """
    page.evaluate(
        """async () => {
          for (let frame = 0; frame < 3; frame++)
            await new Promise((done) => requestAnimationFrame(done));
        }"""
    )


def paint_at(page: Page, voxel: list[int]) -> None:
    """Click on the middle of a voxel of the shown plane, where it is on the screen."""
    settle(page)
    place = page.evaluate(
        """(voxel) => {
          const nv = window.viewer.nv;
          const [x, y] = nv.frac2canvasPos(nv.vox2frac(voxel));
          const box = nv.canvas.getBoundingClientRect();
          return [box.left + x / nv.uiData.dpr, box.top + y / nv.uiData.dpr];
        }""",
        voxel,
    )
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.up()


def axial(page: Page) -> None:
    """Show the axial plane alone, which a software renderer draws at once."""
    page.evaluate("window.viewer.setLayout('axial')")


def pixels(page: Page, *, of: str = "viewer") -> np.ndarray:
    """A canvas as the graphics card has it: row, column, red green blue."""
    settle(page)
    width, height, data = page.evaluate(
        """(of) => {
          const nv = window[of].nv, gl = nv.gl;
          nv.drawScene();
          const [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
          const data = new Uint8Array(w * h * 4);
          gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, data);
          let text = "";
          for (let at = 0; at < data.length; at += 32768)
            text += String.fromCharCode(...data.subarray(at, at + 32768));
          return [w, h, btoa(text)];
        }""",
        of,
    )
    flat = np.frombuffer(base64.b64decode(data), np.uint8)
    return flat.reshape(height, width, 4)[::-1, :, :3].astype(int)


def seen(page: Page) -> np.ndarray:
    """The stage as a person sees it, with all that lies over the canvas."""
    settle(page)
    with Image.open(io.BytesIO(page.locator(".stage").screenshot())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def tinted(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a half-transparent colour lies over grey: the hue of it."""
    grey = image - image.min(axis=2, keepdims=True)
    hue = np.array(colour) - min(colour)
    norm = np.linalg.norm(grey, axis=2)
    cosine = (grey @ hue) / (np.maximum(norm, 1) * np.linalg.norm(hue))
    return np.asarray((norm > 40) & (cosine > 0.98))
