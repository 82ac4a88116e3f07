"""Corrections: what a reader draws or sends of an item, kept and signed at once."""

import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from segpipe.approval.records import Comment, Correction, Digest
from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.accounts.assignments import all_signed, list_tasks
from segpipe.review.accounts.sessions import Visitor
from segpipe.review.accounts.users import check_password
from segpipe.review.corrections.draft import Begin, Draft, begin
from segpipe.review.corrections.runs import Run
from segpipe.review.corrections.store import sign_correction
from segpipe.review.corrections.target import Purpose
from segpipe.review.dossier import Letter
from segpipe.review.server.access import Known, OnePlace, Place, office_of, text_of
from segpipe.review.server.guard.limits import LONGER

log = logging.getLogger(__name__)
router = APIRouter()
ADDRESS = "/reviews/{dossier}/items/{item}/corrections"
UNSIGNED = (
    "Sign your readings of this review first: a correction tells what a letter stands "
    "for."
)
DAMAGED = "The correction could not be signed on this server: tell the review's lead."


class Words(Document):
    """What comes with every correction.

    Attributes:
        csrf: The token of the session's forms.
        password: The password of the reader's key, asked for this signature.
        letter: The mask that it began with; null for an empty one.
        base: SHA-256 of this mask's file; null for an empty one.
        purpose: What it is for.
        comment: The reader's words.
    """

    csrf: str
    password: str
    letter: Letter | None
    base: Digest | None
    purpose: Purpose
    comment: Comment


class Brush(Words):
    """A correction by the brush of the page; runs as ``apply_runs`` takes them."""

    runs: tuple[Run, ...]


class InMemory(MultiPartParser):
    """Reads a form whose file never reaches a disk."""

    spool_max_size = LONGER["corrections/upload"]


@router.post(ADDRESS)
async def draw(request: Request, visitor: Known, place: OnePlace) -> Response:
    """Keep and sign what a reader drew in the page."""
    try:
        sent = Brush.model_validate_json(await request.body())
    except ValidationError as error:
        return _refuse(400, _first(error))
    return await _keep(request, visitor, place, sent, lambda d: d.draw(sent.runs))


@router.post(f"{ADDRESS}/upload")
async def upload(request: Request, visitor: Known, place: OnePlace) -> Response:
    """Keep and sign a mask that a reader sends as a file."""
    parser = InMemory(request.headers, request.stream(), max_files=1, max_fields=10)
    try:
        fields = await parser.parse()
    except (KeyError, MultiPartException):
        return _refuse(400, "the form is damaged")
    file, texts = fields.get("file"), _texts(fields)
    if not isinstance(file, UploadFile):
        return _refuse(400, "file: expected a mask, found none")
    content, name = await file.read(), file.filename or ""
    await fields.close()
    try:
        sent = Words.model_validate(texts)
    except ValidationError as error:
        return _refuse(400, _first(error))
    return await _keep(request, visitor, place, sent, lambda d: d.read(content, name))


def _texts(fields: FormData) -> dict[str, Any]:
    """The fields as JSON would have them: an empty letter and base are none."""
    texts: dict[str, Any] = {name: text_of(fields, name) for name in Words.model_fields}
    return texts | {name: texts[name] or None for name in ("letter", "base")}


async def _keep(
    request: Request,
    visitor: Visitor,
    place: Place,
    sent: Words,
    draw: Callable[[Draft], np.ndarray],
) -> Response:
    if not hmac.compare_digest(sent.csrf.encode(), visitor.csrf.encode()):
        return _refuse(403, "this form is not of your session: open the page again")
    return await run_in_threadpool(_sign, request, visitor, place, sent, draw)


def _sign(
    request: Request,
    visitor: Visitor,
    place: Place,
    sent: Words,
    draw: Callable[[Draft], np.ndarray],
) -> Response:
    office, name = office_of(request), visitor.user.name
    tasks = list_tasks(office.database, visitor.user, place.volume.digest)
    if not all_signed(tasks):
        return _refuse(403, UNSIGNED)
    roster = office.chain.read().roster
    if check_password(office.database, name, sent.password, roster) is None:
        return _refuse(401, "The password is wrong; nothing was signed.")
    root = office.shelf.folder.parent
    try:
        first = Begin(sent.letter, sent.base, sent.purpose)
        draft = begin(place.volume, place.item, first, Paths(root))
        after = draft.finish(draw(draft))
    except DataError as error:
        return _refuse(422, _without(str(error), root))
    try:
        record = sign_correction(
            draft, after, sent.comment.strip(), name, sent.password, root
        )
    except DataError as error:
        log.warning("a correction by %s was not signed: %s", name, error)
        return _refuse(409, DAMAGED)
    content = record.content
    assert isinstance(content, Correction)
    figures = content.model_dump(
        mode="json", exclude={"kind", "subject", "before", "comment"}
    )
    return JSONResponse({"record": record.number, **figures}, 201)


def _without(words: str, root: Path) -> str:
    """The words, unless they say where this server keeps its files."""
    return DAMAGED if str(root) in words else words


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"][:2]))
    return f"{where or 'the correction'}: {fault['msg']}"


def _refuse(status: int, words: str) -> JSONResponse:
    return JSONResponse({"problem": words}, status)
