"""Pages: the templates, style and scripts, and how they reach a browser."""

import base64
import gzip
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from segpipe.project.documents import write_bytes, write_folder, write_text
from segpipe.project.errors import DataError
from segpipe.review.accounts.sessions import Visitor
from segpipe.review.dossier import Item, mask_name
from segpipe.review.shelf import Volume

ROOM = Path(__file__).parents[1]
PAGES = Environment(
    loader=FileSystemLoader(ROOM / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PICTURE = ".png"  # ending of what a page from a folder may show as it is
START = "review.html"  # first page of a bundle
# Files that a browser may ask for by name, and their types.
FILES = {
    "review.css": ("pages/review.css", "text/css; charset=utf-8"),
    "brush.js": ("pages/brush.js", "text/javascript; charset=utf-8"),
    "planes.js": ("pages/planes.js", "text/javascript; charset=utf-8"),
    "previous.js": ("pages/previous.js", "text/javascript; charset=utf-8"),
    "review.js": ("pages/review.js", "text/javascript; charset=utf-8"),
    "viewer.js": ("pages/viewer.js", "text/javascript; charset=utf-8"),
    "niivue.js": ("vendor/niivue.umd.js", "text/javascript; charset=utf-8"),
}


def render(
    request: Request,
    template: str,
    visitor: Visitor | None,
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page for a visitor; every value in it is escaped."""
    page = PAGES.get_template(template).render(
        visitor=visitor, address_of=address_of, home="/", **values
    )
    return HTMLResponse(page, status)


def describe(
    volume: Volume, item: Item, address: Callable[[Item, str], str]
) -> dict[str, Any]:
    """What the page of an item needs to know of the item itself.

    Args:
        volume: The dossier.
        item: The item.
        address: Where a file of an item is, by the item and the file's name.
    """
    dossier, known = volume.dossier, volume.files_of(item)
    return {
        "volume": volume,
        "item": item,
        "files": addresses(volume, item, address),
        "digests": {
            letter: dossier.files[known[mask_name(letter)]] for letter in item.letters
        },
        "structures": [
            {"name": one.name, "value": one.value, "values": one.values}
            for one in dossier.structures
        ],
        "windows": [
            {"name": one.name, "low": one.low, "high": one.high}
            for one in dossier.windows
        ],
    }


def addresses(
    volume: Volume, item: Item, address: Callable[[Item, str], str]
) -> dict[str, str]:
    """Addresses of an item's files by what they are, such as image, A and montage."""
    return {name.split(".")[0]: address(item, name) for name in volume.files_of(item)}


def address_of(name: str) -> str:
    """Address of a file that pages use; it changes with the file."""
    return f"/static/{_load(name)[1]}/{name}"


def answer_file(request: Request, name: str) -> Response:
    """Answer with a file that pages use, packed where the browser can unpack it."""
    content, _, packed = _load(name)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = packed, {**headers, "Content-Encoding": "gzip"}
    return Response(content, headers=headers, media_type=FILES[name][1])


@cache
def _load(name: str) -> tuple[bytes, str, bytes]:
    """A file, the start of its digest, and the file packed."""
    content = (ROOM / FILES[name][0]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return content, digest[:16], gzip.compress(content, mtime=0)


def write_bundle(volume: Volume, folder: Path) -> Path:
    """Write the pages of all items into a folder that browsers open without a server.

    A page from a folder may fetch nothing, so images and masks are scripts that hold
    them as base64. Nothing can be stored; key.json and figures are not in it.

    Args:
        volume: The dossier.
        folder: The folder to write; it must not exist.

    Returns:
        The page to open first.

    Raises:
        DataError: If the folder exists, or a file of the dossier was changed.
    """
    if folder.exists():
        raise DataError(
            f"{folder}: expected no folder yet, found one; name another, or delete it"
        )
    items = volume.dossier.items
    with write_folder(folder) as part:
        for name in FILES:
            write_bytes(part / f"static/{name}", _load(name)[0])
        for number, item in enumerate(items):
            for name, place in volume.files_of(item).items():
                content, path = volume.read(place), _bundled(item, name)
                if not name.endswith(PICTURE):
                    text = base64.b64encode(content).decode()
                    content = f'bundled("{path}", "{text}");\n'.encode()
                write_bytes(part / path, content)
            turns = {"All cases": START}
            if number:
                turns["Case before"] = f"{items[number - 1].id}.html"
            if number + 1 < len(items):
                turns["Next case"] = f"{items[number + 1].id}.html"
            page = _render_bundled(
                "case.html",
                **describe(volume, item, _bundled),
                ahead={},
                number=number + 1,
                total=len(items),
                left=len(items),
                links={},
                problem="",
                turns=turns,
            )
            write_text(part / f"{item.id}.html", page)
        write_text(part / START, _render_bundled("bundle.html", volume=volume))
    return folder / START


def _bundled(item: Item, name: str) -> str:
    """Where a file of an item is in a bundle."""
    return f"items/{item.id}/{name}" + ("" if name.endswith(PICTURE) else ".js")


def _render_bundled(template: str, **values: Any) -> str:
    return PAGES.get_template(template).render(
        visitor=None,
        address_of=lambda name: f"static/{name}",
        home=START,
        **values,
    )
