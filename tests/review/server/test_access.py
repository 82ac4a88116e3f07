"""Attacks on sessions, forms and addresses, each refused.

Two readers, jane and john, have one item each, and lou, who leads, too; the dossier has
three.
"""

from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from segpipe.approval.chain.verification import verify
from segpipe.review.server.routes import cases, corrections, lead, login, queue
from tests.support.readers import (
    PASSWORD,
    Review,
    member,
    open_review,
    send,
    served,
    stranger,
    token_in,
)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    with served(open_review(tmp_path_factory.mktemp("review"))) as review:
        for name, place in (("jane", 0), ("john", 1)):
            user = review.add(name, reads=False)
            review.give(user, review.volume.dossier.items[place].id)
        lou = review.add("lou", "reader", "lead", reads=False)
        review.give(lou, review.volume.dossier.items[2].id)
        yield review


# Every route behind the login: method and address.
ROUTES = sorted(
    (method, route.path)
    for part in (login, queue, cases, corrections, lead)
    for route in part.router.routes
    if isinstance(route, APIRoute) and route.path != "/login"
    for method in route.methods
)
FORMS = [path for method, path in ROUTES if method == "POST"]


def address_of(review: Review, path: str) -> str:
    item = review.volume.dossier.items[2].id
    return path.format(dossier=review.volume.id, item=item, file="A.nii.gz")


@pytest.fixture(scope="module")
def jane(review: Review) -> httpx.Client:
    return member(review, "jane")


@pytest.fixture(scope="module")
def john(review: Review) -> httpx.Client:
    return member(review, "john")


@pytest.mark.parametrize("token", ["", "guessed", "0" * 43, "' or 1=1 --", "é"])
def test_a_forged_session_opens_nothing(review: Review, token: str) -> None:
    client = stranger(review)
    headers = {"cookie": f"segpipe-review={token}".encode()}

    for path in ("/", review.item(), f"{review.item()}/A.nii.gz", review.address):
        answer = client.get(path, headers=headers)
        assert answer.status_code in (303, 404)
        assert answer.headers.get("location", "/login") == "/login"
    assert client.post(review.item(), headers=headers).status_code == 401


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_a_forged_session(
    review: Review, method: str, path: str
) -> None:
    client = stranger(review)
    answer = client.request(
        method, address_of(review, path), headers={"cookie": "segpipe-review=guessed"}
    )

    assert answer.status_code == (401 if method == "POST" else 303)
    assert answer.headers.get("location", "/login") == "/login"


@pytest.fixture(scope="module")
def lou(review: Review) -> httpx.Client:
    return member(review, "lou")


@pytest.mark.parametrize("path", FORMS)
def test_every_form_is_of_the_session_that_sends_it(
    review: Review, lou: httpx.Client, john: httpx.Client, path: str
) -> None:
    """A form, and JSON where the route takes that; john's token is a real one."""
    address, before = address_of(review, path), verify(review.root).head
    for csrf in ("guessed", token_in(john.get("/").text)):
        words = {"csrf": csrf, "password": PASSWORD, "purpose": "reference"}
        words |= {"comment": "", "letter": "", "base": ""}
        brush = words | {"letter": None, "base": None, "runs": []}
        file = {"file": ("mask.nii.gz", b"x")}
        answer = (
            lou.post(address, json=brush)
            if path.endswith("/corrections")
            else lou.post(address, data=words, files=file)
            if path.endswith("/upload")
            else lou.post(address, data=review.ratings(**words))
        )

        assert answer.status_code == 403
        assert "not of your session" in answer.text
    assert verify(review.root).head == before
    assert "1 of 1 cases are left" in lou.get("/").text


def test_the_forms_are_all_that_a_reader_and_a_lead_may_send() -> None:
    """A form that is new is attacked above without being listed anywhere."""
    ends = sorted(path.rpartition("/")[2] for path in FORMS)

    assert ends == ["corrections", "decide", "logout", "sign", "upload", "{item}"]


@pytest.mark.parametrize("csrf", ["", "guessed", None, "another's"])
def test_a_form_without_the_sessions_token_stores_nothing(
    review: Review, jane: httpx.Client, john: httpx.Client, csrf: str | None
) -> None:
    if csrf == "another's":
        csrf = token_in(john.get("/").text)
    form = review.ratings() | ({} if csrf is None else {"csrf": csrf})

    assert jane.post(review.item(), data=form).status_code == 403
    assert "1 of 1 cases are left" in jane.get("/").text


# Addresses that lead elsewhere, below the address of the item that is jane's.
ELSEWHERE = [
    "key.json",
    "../../key.json",
    "..%2f..%2fkey.json",
    "%2e%2e/%2e%2e/dossier.json",
    "..%5c..%5ckey.json",
    "%00",
    "A.nii.gz%00.png",
    "D.nii.gz",
    "a.nii.gz",
    "A.nii.gz/",
    "//etc/passwd",
    "/etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_address_leads_to_another_file(
    review: Review, jane: httpx.Client, path: str
) -> None:
    raw = f"{review.item()}/{path}"
    request = jane.build_request("GET", review.url)
    request.url = request.url.copy_with(raw_path=raw.encode())
    answer = jane.send(request)

    assert answer.status_code in (400, 404, 307)
    assert "candidate" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/reviews/..%2f..%2fetc/items/{id}",
        "/reviews/{dossier}/items/..",
        "/reviews/{dossier}/items/..%2f..",
        "/reviews/phantom-3/items/{id}",
        "/reviews/{dossier}x/items/{id}",
        "/static/x/..%2f..%2fserver%2fapp.py",
        "/static/x/app.py",
        "/key.json",
        "/.reviews/phantom-3/key.json",
    ],
)
def test_no_id_is_taken_for_a_path(
    review: Review, jane: httpx.Client, path: str
) -> None:
    own = review.volume.dossier.items[0].id
    raw = path.format(dossier=review.volume.id, id=own)
    request = jane.build_request("GET", review.url)
    request.url = request.url.copy_with(raw_path=raw.encode())

    assert jane.send(request).status_code == 404


def test_an_item_of_another_reader_is_as_if_it_were_not(
    review: Review, jane: httpx.Client
) -> None:
    """Nobody reads another's ratings, files or page, nor decides for another."""
    for place in (1, 2):
        other = review.item(place)
        for path in (other, f"{other}/A.nii.gz", f"{other}/montage.png"):
            assert jane.get(path).status_code == 404
        assert send(jane, other, **review.ratings()) == 404


def test_no_page_of_a_reader_shows_what_another_said(
    review: Review, jane: httpx.Client, john: httpx.Client
) -> None:
    own = review.volume.dossier.items[0].id
    review.give(review.add("jim", reads=False), own)
    jim = member(review, "jim")
    said = {"comment-1": "johns-own-words", "score-A-1": "1"}
    assert send(jim, review.item(0), **review.ratings(**said)) == 303

    shown = [
        jane.get(path).text
        for path in (
            "/",
            review.item(0),
            f"{review.address}/sign",
            f"{review.address}/results",
            f"{review.address}/lead",
        )
    ]
    assert "johns-own-words" in jim.get(review.item(0)).text
    assert not [page for page in shown if "johns-own-words" in page]
    assert " selected" not in shown[1]
    assert "Jim" not in "".join(shown)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(
    review: Review, jane: httpx.Client, method: str
) -> None:
    assert jane.request(method, review.item()).status_code in (400, 405)


def test_the_clients_of_the_tests_can_do_what_is_allowed(
    review: Review, jane: httpx.Client
) -> None:
    """Else the refusals above would say nothing."""
    checks: dict[str, Callable[[bytes], bool]] = {
        "image.nii.gz": lambda content: content[:2] == b"\x1f\x8b",
        "montage.png": lambda content: content[:4] == b"\x89PNG",
    }

    for name, check in checks.items():
        answer = jane.get(f"{review.item()}/{name}")
        assert answer.status_code == 200
        assert check(answer.content)
    assert send(jane, review.item(), **review.ratings()) == 303
