"""The review in a browser: time to the first case and to the next, and page weights.

    python -m benchmarks.review ~/sets/3d_msd_hippocampus --structures front back
    python -m benchmarks.review ~/sets/2d_dsb2018 --structures nucleus

The folders images and labels of a set become a dossier of 200 cases, which
`segpipe review serve` serves in a process of its own. One reader has none of them; two
have all and read, one alone and then both at the same time, each in a window of one
installed Chromium, which draws both without a graphics card. The address in
SEGPIPE_REVIEW_DATABASE takes the place of a file. The table gives the least, the median
and the largest value; the last line says how many of the next cases were on the screen
within a second.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image as Picture
from playwright.sync_api import (
    Browser,
    Response,
    ViewportSize,
    sync_playwright,
)

from segpipe.approval.chain.verification import verify
from segpipe.approval.protocol import read_protocol, write_protocol
from segpipe.approval.records import Role
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.volume import Image
from segpipe.project.paths import Paths
from segpipe.review.accounts.assignments import assign
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.accounts.users import Newcomer, add_user, find_user
from segpipe.review.dossier import (
    LETTERS,
    MONTAGE,
    Dossier,
    Item,
    Key,
    Shown,
    Structure,
    item_folder,
    new_dossier,
    seal,
)
from segpipe.review.items.volumes import (
    canonical,
    to_canonical,
    write_images,
    write_masks,
)
from segpipe.review.shelf import open_volume

PASSWORD, ADMIN = "four random words", "ada"
READERS, IDLE = ("jane", "john"), "nora"
LIMIT_S = 1.0
SIZE: ViewportSize = {"width": 1366, "height": 768}


def write_items(folder: Path, source: Path, structures: Sequence[str], n: int) -> None:
    """A dossier of real images: A and C are the label, B the same a voxel aside."""
    files = sorted(path for path in (source / "images").iterdir())
    items, shown, values = [], {}, range(len(structures) + 1)
    with new_dossier(folder) as part:
        for number in range(n):
            file, name = files[number % len(files)], f"item{number:04d}"
            image, label = read_image(file), read_label(source / "labels" / file.name)
            array = image.array[:3]
            grey = bool((array == array[:1]).all())
            turned = to_canonical(array[:1] if grey else array, image.grid)
            mask = to_canonical(label.array, label.grid)
            mask = np.minimum(mask, values[-1]).astype(np.uint8)
            place, grid = item_folder(part, name), canonical(image.grid)
            place.mkdir(parents=True)
            names = write_images(place, Image(turned, grid), missing=())
            aside = np.roll(mask, 1, axis=0)
            masks = dict(zip(LETTERS, (mask, aside, mask), strict=True))
            write_masks(place, masks, grid, values=list(values))
            Picture.fromarray(mask[:, :, mask.shape[2] // 2] * 80).save(place / MONTAGE)
            items.append(Item(id=name, letters=LETTERS, images=names))
            shown[name] = Shown(
                case=f"{file.name} {number}",
                patient=file.name,
                stratum="random",
                letters={"A": "candidate", "B": "champion", "C": "reference"},
                figures={},
            )
        protocol = read_protocol(folder.parents[1])
        assert protocol is not None
        dossier = Dossier(
            format_version=1,
            name=folder.name.rpartition("-")[0],
            version="1",
            segmenter="a" * 64,
            champion="b" * 64,
            protocol=protocol.digest,
            data=None,
            code=None,
            made=datetime.now(UTC),
            structures=tuple(
                Structure(name=one, value=value)
                for value, one in enumerate(structures, start=1)
            ),
            unit=image.grid.unit,
            windows=(),
            items=tuple(items),
            files={},
        )
        seal(part, dossier, Key(items=shown))


def staff(root: Path, folder: Path) -> None:
    """An admin, two readers of everything, and one of nothing."""
    database, volume = open_database(address_of(Paths(root))), open_volume(folder)
    people: dict[str, Role] = {ADMIN: "admin", IDLE: "reader"}
    for name in (*people, *READERS):
        roles = (people.get(name, "reader"),)
        by = None if name == ADMIN else (ADMIN, PASSWORD)
        add_user(database, Newcomer(name, name.title(), roles), PASSWORD, root, by=by)
    roster = verify(root).require_whole().roster
    for name in READERS:
        user, _ = find_user(database, name, roster)
        own = [*volume.items]
        assign(database, user, dossier=volume.digest, items=own, purpose="read")
    database.close()


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """`segpipe review serve` in a process of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = ["-m", "segpipe", "review", "serve", "--port", str(port)]
    with subprocess.Popen([sys.executable, *words], cwd=root) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                raise TimeoutError("the review did not start within 60 s")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Window:
    """A reader's window, which counts the bytes that it is sent."""

    def __init__(self, chromium: Browser, url: str, name: str) -> None:
        """Log a reader in."""
        self.page = chromium.new_context(viewport=SIZE).new_page()
        self.bytes = 0
        self.page.on("response", self._count)
        self.page.goto(url)
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector("h1:has-text('My queue')")
        self.url = url

    def _count(self, answer: Response) -> None:
        self.bytes += int(answer.headers.get("content-length", "0"))

    def queue(self) -> tuple[float, float]:
        """Seconds and kB of the page with the queue, with all that it shows."""
        self.bytes, began = 0, time.perf_counter()
        self.page.goto(self.url, wait_until="load")
        return time.perf_counter() - began, self.bytes / 1000

    def first(self) -> tuple[float, float]:
        """Seconds and kB from the queue to the first case on the screen."""
        self.bytes, began = 0, time.perf_counter()
        self.page.click("a.main")
        self.page.wait_for_selector("body[data-shown]", timeout=120_000)
        seconds = time.perf_counter() - began
        self.page.wait_for_load_state("networkidle")
        return seconds, self.bytes / 1000

    def rate(self) -> None:
        """Rate every structure, and forget when the last case was shown."""
        self.page.evaluate(
            """() => {
              delete document.body.dataset.next;
              const fields = document.querySelectorAll(".score select");
              for (const one of fields) one.value = "4";
            }"""
        )

    def next(self) -> float:
        """Seconds from storing to the next case on the screen, by the page itself."""
        self.page.wait_for_selector("body[data-next]", timeout=120_000)
        return float(self.page.evaluate("Number(document.body.dataset.next)")) / 1000


def step(windows: Sequence[Window], cases: int) -> list[float]:
    """Seconds to each next case, where all windows store at the same time."""
    found: list[float] = []
    for _ in range(cases):
        for one in windows:
            one.rate()
        for one in windows:
            one.page.click("#store", no_wait_after=True)
        found += [one.next() for one in windows]
    return found


def read(url: str, cases: int) -> dict[str, list[float]]:
    """Values in s and kB by what was measured."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=words) as chromium,
    ):
        idle = Window(chromium, url, IDLE)
        empty = [idle.queue() for _ in range(cases)]
        windows = [Window(chromium, url, name) for name in READERS]
        full = [one.queue() for one in windows for _ in range(cases // 2)]
        first = [one.first() for one in windows]
        for one in windows:
            one.bytes = 0
        alone = step(windows[:1], cases)
        together = step(windows, cases)
        return {
            "empty queue, s": [one[0] for one in empty],
            "empty queue, kB": [one[1] for one in empty],
            "full queue, s": [one[0] for one in full],
            "full queue, kB": [one[1] for one in full],
            "first case, s": [one[0] for one in first],
            "first case with the next one ahead, kB": [one[1] for one in first],
            "next case, one reader, s": alone,
            "next case, two readers at once, s": together,
            "next case, kB": [windows[1].bytes / 1000 / cases],
        }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.review", description=__doc__
    )
    parser.add_argument("source", type=Path, help="a folder with images and labels")
    parser.add_argument("--structures", nargs="+", required=True)
    parser.add_argument("--items", type=int, default=200, help="cases of the queue")
    parser.add_argument("--cases", type=int, default=20, help="cases that are read")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_protocol(root)
        folder = root / ".reviews" / f"{given.source.name}-1"
        write_items(folder, given.source, given.structures, given.items)
        staff(root, folder)
        with serving(root) as url:
            found = read(url, given.cases)
    kind = address_of(Paths(Path())).partition(":")[0]
    print(f"{given.source.name}, {given.items} cases, {kind}")
    for what, values in found.items():
        print(f"{what:40} {min(values):8.2f} {median(values):8.2f} {max(values):8.2f}")
    counts = [
        f"{sum(one <= LIMIT_S for one in values)} of {len(values)}"
        for what, values in found.items()
        if what.startswith("next") and what.endswith(", s")
    ]
    print(f"review: {counts[0]} next cases within 1 s, of two at once {counts[1]}")


if __name__ == "__main__":
    main()
