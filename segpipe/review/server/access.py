"""Access: who sends a request, whether its form is the page's own, and what it asks."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from segpipe.approval.chain.watched import Watched
from segpipe.review.accounts.assignments import Task, find_task
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.sessions import Visitor, find_visitor
from segpipe.review.dossier import Item
from segpipe.review.server.guard.limits import Rate
from segpipe.review.shelf import Shelf, Volume

FIELDS = 5000  # of a form: three masks of a hundred structures, with comments


@dataclass(frozen=True)
class Office:
    """What the server works with.

    Attributes:
        database: The accounts.
        shelf: The dossiers.
        chain: The records, of which people's roles are read, too.
        logins: How often an address may try to log in.
    """

    database: Database
    shelf: Shelf
    chain: Watched
    logins: Rate


class NotLoggedInError(Exception):
    """The request belongs to no session."""


def office_of(request: Request) -> Office:
    """What the server of a request works with."""
    office = request.app.state.office
    assert isinstance(office, Office)
    return office


def cookie_of(request: Request) -> str:
    """Name of the session's cookie; with TLS, browsers bind it to this server."""
    return (
        "__Host-segpipe-review" if request.url.scheme == "https" else "segpipe-review"
    )


def visitor_of(request: Request) -> Visitor:
    """Who sends a request.

    Raises:
        NotLoggedInError: If it belongs to no session.
    """
    token = request.cookies.get(cookie_of(request), "")
    if not token:
        raise NotLoggedInError
    office = office_of(request)
    visitor = find_visitor(office.database, token, office.chain.read().roster)
    if visitor is None:
        raise NotLoggedInError
    return visitor


Known = Annotated[Visitor, Depends(visitor_of)]


async def form_of(request: Request) -> FormData:
    """The fields of a form; a file is refused."""
    return await request.form(max_files=0, max_fields=FIELDS)


Fields = Annotated[FormData, Depends(form_of)]


def own_form(visitor: Known, fields: Fields) -> FormData:
    """The fields of a form that a page of this session sent.

    Raises:
        HTTPException: If it does not carry the session's token.
    """
    if not hmac.compare_digest(text_of(fields, "csrf").encode(), visitor.csrf.encode()):
        raise HTTPException(
            403, "this form is not of your session: open the page again"
        )
    return fields


OwnForm = Annotated[FormData, Depends(own_form)]


def text_of(fields: FormData, name: str) -> str:
    """The text in a field; empty if there is none."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Place:
    """An item that the visitor may see: where it is, and what it is for."""

    volume: Volume
    item: Item
    task: Task


def volume_of(request: Request, dossier: str) -> Volume:
    """The dossier of a request.

    Raises:
        HTTPException: If there is none of this id.
    """
    volume = office_of(request).shelf.find(dossier)
    if volume is None:
        raise HTTPException(404, "there is no such review")
    return volume


OneVolume = Annotated[Volume, Depends(volume_of)]


def place_of(request: Request, visitor: Known, volume: OneVolume, item: str) -> Place:
    """The item of a request, if it is the visitor's to read.

    Raises:
        HTTPException: If there is none of this id, or it is another's.
    """
    one = volume.items.get(item)
    database = office_of(request).database
    task = find_task(database, visitor.user, volume.digest, item) if one else None
    if one is None or task is None:
        raise HTTPException(404, "there is no such item in your queue")
    return Place(volume, one, task)


OnePlace = Annotated[Place, Depends(place_of)]
