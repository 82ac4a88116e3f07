"""Pages: the templates, style and scripts, and how they reach a browser."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from segpipe.review.accounts.sessions import Visitor

ROOM = Path(__file__).parents[1]
PAGES = Environment(
    loader=FileSystemLoader(ROOM / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Files that a browser may ask for by name, and their types.
FILES = {
    "review.css": ("pages/review.css", "text/css; charset=utf-8"),
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
        visitor=visitor, address_of=address_of, **values
    )
    return HTMLResponse(page, status)


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
    import gzip

    content = (ROOM / FILES[name][0]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return content, digest[:16], gzip.compress(content, mtime=0)
