"""Lead: where a review stands, what its readings say, and the decision that is signed.

The lead sees no rating before all is signed, since a lead may also read.
"""

from typing import Literal

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from segpipe.approval.chain.verification import Verified
from segpipe.approval.protocol import Protocol, protocol_file, read_protocol
from segpipe.approval.records import Record
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.accounts.sessions import Visitor
from segpipe.review.accounts.users import check_password
from segpipe.review.server.access import (
    Known,
    Office,
    OneVolume,
    OwnForm,
    office_of,
    text_of,
)
from segpipe.review.server.pages import render
from segpipe.review.server.routes.login import refuse_unless
from segpipe.review.shelf import Volume
from segpipe.review.work.status import Standing, stand
from segpipe.tools.reviewing.decide import CHANGED, Verdict, decide, find_seen

LONGEST = 4000  # characters of a reason, as a record may hold
MEANING = "I have looked at what the readers say, and answer for this decision."
DECISIONS: dict[Literal["approve", "reject", "withdraw"], str] = {
    "approve": "Approve: it may be used",
    "reject": "Reject: it may not be used",
    "withdraw": "Withdraw: an approval of before ends now",
}
WRONG = "The password is wrong; nothing was signed."

router = APIRouter()


@router.get("/reviews/{dossier}/lead")
def show(request: Request, visitor: Known, volume: OneVolume) -> Response:
    """What is left of a review, or what it says."""
    standing = _stand(request, visitor, volume)
    return render(request, "lead.html", visitor, volume=volume, standing=standing)


@router.get("/reviews/{dossier}/decide")
def show_form(request: Request, visitor: Known, volume: OneVolume) -> Response:
    """The form of a decision."""
    standing = _stand(request, visitor, volume)
    _require_complete(standing)
    return _page(request, visitor, volume, standing, {"meaning": MEANING})


@router.post("/reviews/{dossier}/decide")
def sign(
    request: Request, visitor: Known, volume: OneVolume, fields: OwnForm
) -> Response:
    """Sign a decision, after the password was given again."""
    office = office_of(request)
    chain = office.chain.read()
    standing = _stand(request, visitor, volume, chain)
    _require_complete(standing)
    names = ("decision", "meaning", "reason", "promote")
    filled = {name: text_of(fields, name).strip() for name in names}
    status, problem = 422, _fault_of(filled)
    if not problem and text_of(fields, "shown") != standing.digest:
        status, problem = 409, CHANGED
    password, name = text_of(fields, "password"), visitor.user.name
    roster = office.chain.read().roster
    if not problem and check_password(office.database, name, password, roster) is None:
        status, problem = 401, WRONG
    if not problem:
        try:
            seen = find_seen(volume.dossier.segmenter, chain)
            _decide(office, volume, filled, name, password, seen)
        except DataError as error:
            status, problem = 409, _without_places(error, office)
    if problem:
        standing = _stand(request, visitor, volume)
        return _page(
            request, visitor, volume, standing, filled, status=status, problem=problem
        )
    return RedirectResponse(f"/reviews/{volume.id}/lead", 303)


def _decide(
    office: Office,
    volume: Volume,
    filled: dict[str, str],
    name: str,
    password: str,
    seen: list[Record],
) -> None:
    dossier = volume.dossier
    (decision,) = [one for one in DECISIONS if one == filled["decision"]]
    verdict = Verdict(
        decision,
        filled["meaning"],
        filled["reason"],
        promote=filled["promote"] == "yes",
    )
    decide(
        dossier.name,
        dossier.version,
        verdict,
        name,
        password,
        Paths(office.shelf.folder.parent),
        segmenter=dossier.segmenter,
        shown=[one.number for one in seen],
    )


def _fault_of(filled: dict[str, str]) -> str:
    """Why a form cannot be signed, in a sentence; empty if it can."""
    if filled["decision"] not in DECISIONS:
        return "Choose whether you approve, reject or withdraw; nothing was signed."
    if filled["promote"] and filled["decision"] != "approve":
        return (
            "Only a version that you approve becomes the champion; nothing was signed."
        )
    for name in ("meaning", "reason"):
        if not 1 <= len(filled[name]) <= LONGEST:
            return (
                f"Write the {name} in 1 to {LONGEST} characters: it stands in the "
                "record; nothing was signed."
            )
    return ""


def _stand(
    request: Request, visitor: Visitor, volume: Volume, chain: Verified | None = None
) -> Standing:
    refuse_unless(visitor.may("lead"))
    office = office_of(request)
    known = chain or office.chain.read()
    return stand(volume, known, _protocol_of(office), office.database)


def _protocol_of(office: Office) -> Protocol:
    protocol = read_protocol(office.chain.root)
    if protocol is None:
        raise HTTPException(
            409,
            f"expected {protocol_file(office.chain.root).name}, by which reviews are "
            "judged, found no file: `segpipe review init` writes one",
        )
    return protocol


def _require_complete(standing: Standing) -> None:
    if not standing.missing.nothing:
        raise HTTPException(
            409,
            "not all is signed yet: this page opens when it is. Until then, `segpipe "
            "review decide` rejects or withdraws",
        )


def _without_places(error: DataError, office: Office) -> str:
    """The sentence of an error without the server's own folders."""
    text = str(error)
    for root in (office.chain.root, office.shelf.folder.parent):
        text = text.replace(f"{root.resolve()}/", "").replace(f"{root}/", "")
    return text


def _page(
    request: Request,
    visitor: Visitor,
    volume: Volume,
    standing: Standing,
    filled: dict[str, str],
    *,
    status: int = 200,
    problem: str = "",
) -> Response:
    days = _protocol_of(office_of(request)).policy.expires_days
    return render(
        request,
        "decide.html",
        visitor,
        status=status,
        volume=volume,
        standing=standing,
        filled=filled,
        problem=problem,
        decisions=DECISIONS,
        days=days,
    )
