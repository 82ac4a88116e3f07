"""Login: the pages by which a session begins and ends."""

import hmac
import secrets

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from segpipe.review.accounts.sessions import LONGEST, close_session, open_session
from segpipe.review.accounts.users import check_password
from segpipe.review.server.access import (
    Fields,
    Known,
    OwnForm,
    cookie_of,
    office_of,
    text_of,
)
from segpipe.review.server.pages import render

BEFORE = "segpipe-review-login"  # the cookie of the form, before there is a session
WRONG = (
    "Name or password is wrong, or too many wrong ones were tried: then wait a quarter "
    "of an hour."
)

router = APIRouter()


@router.get("/login")
def show(request: Request) -> Response:
    """The form for name and password."""
    return _form(request, status=200, problem="")


@router.post("/login")
def log_in(request: Request, fields: Fields) -> Response:
    """Begin a session, always a new one."""
    expected = request.cookies.get(BEFORE, "")
    given = text_of(fields, "csrf")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        return _form(request, status=403, problem="The form was old: try again.")
    office = office_of(request)
    if not office.logins.allows(request.client.host if request.client else ""):
        return _form(request, status=429, problem="Too many tries: wait a minute.")
    name, password = text_of(fields, "name"), text_of(fields, "password")
    roster = office.chain.read().roster
    name = name.strip().lower()  # as every name is; a telephone writes Ann
    user = check_password(office.database, name, password, roster)
    if user is None:
        return _form(request, status=401, problem=WRONG)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(BEFORE, path="/login")
    answer.set_cookie(
        cookie_of(request),
        open_session(office.database, user),
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        secure=request.url.scheme == "https",
        samesite="lax",  # a link in a mail leads to the page, not to the login
    )
    return answer


@router.post("/logout")
def log_out(request: Request, visitor: Known, fields: OwnForm) -> Response:
    """End the session."""
    close_session(office_of(request).database, visitor)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_of(request))
    return answer


def _form(request: Request, *, status: int, problem: str) -> Response:
    token = secrets.token_urlsafe(32)
    answer = render(
        request, "login.html", None, status=status, csrf=token, problem=problem
    )
    answer.set_cookie(
        BEFORE,
        token,
        path="/login",
        httponly=True,
        secure=request.url.scheme == "https",
        samesite="strict",
    )
    return answer


def refuse_unless(allowed: bool) -> None:
    """End a request that the visitor's roles do not allow.

    Raises:
        HTTPException: If it is not allowed.
    """
    if not allowed:
        raise HTTPException(403, "your roles do not allow this")
