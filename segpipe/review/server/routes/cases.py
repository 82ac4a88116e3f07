"""Cases: the page of one item, its images and masks, and what a reader says of it."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from segpipe.approval.protocol import read_protocol
from segpipe.project.errors import DataError
from segpipe.review.accounts.assignments import (
    Reader,
    all_signed,
    list_tasks,
    open_task,
)
from segpipe.review.accounts.readings import Reading, submit_reading
from segpipe.review.accounts.signing import match_chain
from segpipe.review.dossier import Item, Letter, read_key
from segpipe.review.server.access import (
    Known,
    OnePlace,
    OwnForm,
    Place,
    office_of,
    text_of,
)
from segpipe.review.server.pages import addresses, describe, render
from segpipe.review.server.routes.corrections import UNSIGNED
from segpipe.review.server.routes.forms import SCORES, fill, read_ratings, read_seconds
from segpipe.review.shelf import Volume

router = APIRouter()
TYPES = {"gz": "application/gzip", "png": "image/png"}


@router.get("/reviews/{dossier}/items/{item}")
def show(request: Request, visitor: Known, place: OnePlace) -> Response:
    """The page of an item."""
    open_task(office_of(request).database, place.task)
    reading = place.task.reading
    filled = {} if reading is None else fill(reading.ratings)
    return _page(request, visitor, place, filled=filled)


@router.post("/reviews/{dossier}/items/{item}")
def submit(
    request: Request, visitor: Known, place: OnePlace, fields: OwnForm
) -> Response:
    """Store what the reader says of an item, and lead to the next."""
    office, volume, item = office_of(request), place.volume, place.item
    try:
        reading = Reading(
            dossier=volume.digest,
            item=item.id,
            ratings=read_ratings(fields, volume.dossier, item),
            seconds=read_seconds(fields),
        )
        reader = Reader(visitor.user, visitor.person, volume)
        match_chain(office.database, reader, office.chain)
        submit_reading(office.database, visitor.user, reading)
    except DataError as error:
        filled = _refill(fields, volume, item)
        return _page(
            request, visitor, place, filled=filled, status=422, problem=str(error)
        )
    return RedirectResponse(f"/reviews/{volume.id}/next", 303)


@router.get("/reviews/{dossier}/items/{item}/{file}")
def answer_file(place: OnePlace, file: str) -> Response:
    """The image, a mask or the montage of an item."""
    known = place.volume.files_of(place.item)
    if file not in known:
        raise HTTPException(404, "there is no such file")
    content = place.volume.read(known[file])
    return Response(content, media_type=TYPES[file.rpartition(".")[2]])


def _page(
    request: Request,
    visitor: Known,
    place: Place,
    *,
    filled: dict[str, str],
    status: int = 200,
    problem: str = "",
) -> Response:
    volume, item = place.volume, place.item
    tasks = list_tasks(office_of(request).database, visitor.user, volume.digest)
    left = [task.assignment.item for task in tasks if task.reading is None]
    after = [one for one in left if one != item.id]
    ahead = volume.items[after[0]] if after else None
    return render(
        request,
        "case.html",
        visitor,
        status=status,
        **describe(volume, item, _address(volume)),
        ahead=addresses(volume, ahead, _address(volume)) if ahead else {},
        links=links_of(volume, item),
        number=1 + [task.assignment.item for task in tasks].index(item.id),
        total=len(tasks),
        left=len(left),
        signed=place.task.is_signed,
        barred="" if all_signed(tasks) else UNSIGNED,
        reference=_reference(volume, item) if all_signed(tasks) else None,
        scores=SCORES,
        filled=filled,
        problem=problem,
    )


def _reference(volume: Volume, item: Item) -> Letter | None:
    """The letter of the reference, for somebody who may know; None without one."""
    letters = read_key(volume.folder).items[item.id].letters
    return next((one for one in item.letters if letters[one] == "reference"), None)


def links_of(volume: Volume, item: Item) -> dict[str, str]:
    """Addresses that open an item in another program, as review.yaml has them.

    Nothing but the opaque id is ever put into them.
    """
    protocol = read_protocol(volume.folder.parents[1])
    if protocol is None:
        return {}
    links = {"Slicer": protocol.links.slicer, "OHIF": protocol.links.ohif}
    return {
        name: address.replace("{case}", item.id)
        for name, address in links.items()
        if address is not None
    }


def _address(volume: Volume) -> Callable[[Item, str], str]:
    return lambda item, name: f"/reviews/{volume.id}/items/{item.id}/{name}"


def _refill(fields: OwnForm, volume: Volume, item: Item) -> dict[str, str]:
    """The fields that were sent, by the names that ``fill`` gives them."""
    filled = {}
    for structure in volume.dossier.structures:
        name, value = structure.name, structure.value
        for letter in item.letters:
            score = text_of(fields, f"score-{letter}-{value}")
            filled[f"score-{letter}-{name}"] = score
        filled[f"artefact-{name}"] = text_of(fields, f"artefact-{value}")
        filled[f"comment-{name}"] = text_of(fields, f"comment-{value}")
    return filled
