"""Queue: what a reader has to read, what is left, and the signature below it."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from segpipe.approval.protocol import read_protocol
from segpipe.review.accounts.assignments import (
    Reader,
    Task,
    all_signed,
    list_dossiers,
)
from segpipe.review.accounts.sessions import Visitor
from segpipe.review.accounts.signing import (
    UnsignedError,
    digest_unsigned,
    match_chain,
    sign_readings,
)
from segpipe.review.accounts.users import check_password
from segpipe.review.dossier import read_key
from segpipe.review.server.access import (
    Known,
    OneVolume,
    OwnForm,
    office_of,
    text_of,
)
from segpipe.review.server.pages import render
from segpipe.review.server.routes.login import refuse_unless
from segpipe.review.shelf import Volume
from segpipe.review.work.adjudication import adjudicate

router = APIRouter()


@dataclass(frozen=True)
class Row:
    """A reader's part of a review."""

    volume: Volume
    tasks: list[Task]

    @property
    def left(self) -> list[Task]:
        """What was not read yet."""
        return [task for task in self.tasks if task.reading is None]

    @property
    def unsigned(self) -> list[Task]:
        """What was read and not signed."""
        return [task for task in self.tasks if task.is_unsigned]

    @property
    def is_done(self) -> bool:
        """Whether all is signed."""
        return all_signed(self.tasks)


@router.get("/")
def show(request: Request, visitor: Known) -> Response:
    """The reviews in which the visitor has something to read, and what is left."""
    office = office_of(request)
    own = {*list_dossiers(office.database, visitor.user)}
    lead = visitor.may("lead")
    rows = [
        _row(request, visitor, volume)
        for volume in office.shelf.volumes()
        if volume.digest in own or lead
    ]
    return render(request, "queue.html", visitor, rows=rows, lead=lead)


@router.get("/reviews/{dossier}/next")
def go_on(request: Request, visitor: Known, volume: OneVolume) -> Response:
    """Lead to the first item that is left, else to the signature."""
    row = _row(request, visitor, volume)
    if row.left:
        item = row.left[0].assignment.item
        return RedirectResponse(f"/reviews/{volume.id}/items/{item}", 303)
    return RedirectResponse(f"/reviews/{volume.id}/sign", 303)


@router.get("/reviews/{dossier}/sign")
def show_signing(request: Request, visitor: Known, volume: OneVolume) -> Response:
    """What is to be signed, with the form that asks for the password again."""
    return _sign_page(request, visitor, volume, status=200, problem="")


@router.post("/reviews/{dossier}/sign")
def sign(
    request: Request, visitor: Known, volume: OneVolume, fields: OwnForm
) -> Response:
    """Sign what was read so far, after the password was given again."""
    office = office_of(request)
    chain, password = office.chain, text_of(fields, "password")
    name, roster = visitor.user.name, chain.read().roster
    status, problem = 401, "The password is wrong; nothing was signed."
    if check_password(office.database, name, password, roster) is not None:
        reader = Reader(visitor.user, visitor.person, volume)
        protocol = read_protocol(chain.root)
        try:
            shown = text_of(fields, "shown")
            sign_readings(
                office.database, reader, password, chain, protocol, shown=shown
            )
            key = read_key(volume.folder)
            adjudicate(office.database, volume, key, chain.read(), protocol)
            return RedirectResponse("/", 303)
        except UnsignedError as error:
            status, problem = 409, str(error)
    return _sign_page(request, visitor, volume, status=status, problem=problem)


@router.get("/reviews/{dossier}/results")
def show_results(request: Request, visitor: Known, volume: OneVolume) -> Response:
    """What the letters stood for, once the visitor has signed all of the own items.

    Not before: an item may come twice, and who knows the first reads the second so.
    """
    row = _row(request, visitor, volume)
    refuse_unless(row.is_done)
    key = read_key(volume.folder)
    return render(request, "results.html", visitor, row=row, key=key)


def _sign_page(
    request: Request, visitor: Visitor, volume: Volume, *, status: int, problem: str
) -> Response:
    row = _row(request, visitor, volume)
    return render(
        request,
        "sign.html",
        visitor,
        status=status,
        row=row,
        shown=digest_unsigned(row.tasks),
        problem=problem,
    )


def _row(request: Request, visitor: Visitor, volume: Volume) -> Row:
    office, reader = office_of(request), Reader(visitor.user, visitor.person, volume)
    return Row(volume, match_chain(office.database, reader, office.chain))
