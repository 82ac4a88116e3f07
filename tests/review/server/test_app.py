"""The app answers, and says nothing of itself where something fails."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from segpipe.approval.chain.verification import verify
from segpipe.review.server.app import build_settings
from tests.support.proxies import LAB, proxy, trusting
from tests.support.readers import (
    PASSWORD,
    Review,
    log_in,
    member,
    open_review,
    send,
    served,
    stranger,
    token_in,
)
from tests.support.servers import free_port


def test_only_its_own_pages_are_there(tmp_path: Path) -> None:
    with served(open_review(tmp_path, items=1)) as review:
        client = stranger(review)
        statuses = {
            path: client.get(path).status_code
            for path in ("/docs", "/openapi.json", "/redoc", "/login", "/")
        }
        foreign = client.get("/login", headers={"host": "evil.example"})

    assert statuses == {
        "/docs": 404,
        "/openapi.json": 404,
        "/redoc": 404,
        "/login": 200,
        "/": 303,
    }
    assert foreign.status_code == 403
    assert "server" not in foreign.headers


def test_a_damaged_dossier_is_told_without_its_place(tmp_path: Path) -> None:
    with served(open_review(tmp_path, items=1)) as review:
        review.add("jane")
        client = member(review, "jane")
        (item,) = review.volume.items
        (review.volume.folder / f"items/{item}/A.nii.gz").write_bytes(b"x")
        answer = client.get(f"{review.item()}/A.nii.gz")

    assert answer.status_code == 500
    assert "damaged" in answer.text
    assert str(tmp_path) not in answer.text


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """The system refuses every longer file, as a full disk or a quota does."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with served(open_review(tmp_path, items=1)) as review:
        review.add("jane")
        client = member(review, "jane")
        acts = {review.item(): review.ratings(), f"{review.address}/sign": {}}
        for address, fields in acts.items():
            page = client.get(address).text
            shown = re.findall('name="shown" value="([^"]*)"', page)
            form = {**fields, "csrf": token_in(page), "password": PASSWORD}
            form |= {"shown": shown[0]} if shown else {}
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            try:
                answer = client.post(address, data=form)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            assert answer.status_code == 503
            assert "was not stored" in answer.text
            assert str(tmp_path) not in answer.text
            assert client.post(address, data=form).status_code == 303

        (record,) = [one for one in verify(review.root).records if one.signer == "jane"]
        assert record.content.kind == "reading"


# What a request says of its way, where the proxy is named, and status and cookie.
WAYS: dict[str, tuple[str, dict[str, str], int, str]] = {
    "through the proxy": (LAB, {"x-forwarded-proto": "https"}, 200, "; Secure"),
    "in the clear": (LAB, {}, 403, ""),
    "in the clear, as it says": (LAB, {"x-forwarded-proto": "http"}, 403, ""),
    "on this machine": ("", {}, 200, ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_behind_a_proxy_the_cookie_is_only_sent_by_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    host, forwarded, status, cookie = WAYS[way]
    monkeypatch.setenv("SEGPIPE_HOSTS", LAB)
    with served(open_review(tmp_path, items=1)) as review:
        own = {"host": host} if host else {}
        answer = stranger(review).get("/login", headers={**own, **forwarded})

    assert answer.status_code == status
    assert (cookie != "") == ("; secure" in str(answer.headers).lower())
    assert status == 200 or "X-Forwarded-Proto: https" in answer.text


def test_the_session_behind_a_proxy_is_bound_to_its_name_and_to_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers take a cookie __Host-… only from a page with TLS, for this name."""
    monkeypatch.setenv("SEGPIPE_HOSTS", LAB)
    with served(open_review(tmp_path, items=1)) as review:
        review.add("jane")
        client = stranger(review)
        client.headers = httpx.Headers(
            {
                "host": LAB,
                "origin": f"https://{LAB}",
                "x-forwarded-proto": "https",
                "x-forwarded-for": "192.0.2.7",
            }
        )
        form = client.get("/login")
        token = form.cookies["segpipe-review-login"]
        answer = client.post(
            "/login",
            data={"name": "jane", "password": PASSWORD, "csrf": token_in(form.text)},
            headers={"cookie": f"segpipe-review-login={token}"},
        )

    cookies = answer.headers.get_list("set-cookie")
    (session,) = [one for one in cookies if one.startswith("__Host-segpipe-review=")]
    assert answer.status_code == 303
    assert {"Secure", "HttpOnly", "Path=/"} <= set(session.split("; "))
    assert "max-age" in answer.headers["strict-transport-security"]


def test_without_a_proxy_nobody_chooses_the_own_address(tmp_path: Path) -> None:
    """Else each wrong password could come from an address of its own."""
    assert build_settings(8010)["proxy_headers"] is False
    with served(open_review(tmp_path, items=1)) as review:
        client = stranger(review)
        statuses = {
            _log_in_from(client, f"192.0.2.{number}") for number in range(1, 14)
        }

    assert 429 in statuses


def _log_in_from(client: httpx.Client, address: str) -> int:
    client.headers["x-forwarded-for"] = address
    return log_in(client, "nobody", "a wrong password")


class Named(httpx.HTTPTransport):
    """Asks this machine for the server of LAB."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = LAB
        return super().handle_request(request)


@pytest.fixture(scope="module", params=["caddy", "nginx"])
def outside(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Review, httpx.Client]]:
    """A review behind a proxy as the docs configure it, and a browser out there."""
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPIPE_HOSTS", f"{LAB}:{port}")
        with served(open_review(folder / "project", items=2)) as review:
            review.add("jane")
            behind = int(review.url.rpartition(":")[2])
            with (
                proxy(
                    request.param, folder / "files", port=port, behind=behind
                ) as certificate,
                httpx.Client(
                    base_url=f"https://127.0.0.1:{port}",
                    headers={
                        "host": f"{LAB}:{port}",
                        "origin": f"https://{LAB}:{port}",
                    },
                    transport=Named(verify=trusting(certificate)),
                ) as client,
            ):
                yield review, client


def enter(client: httpx.Client) -> httpx.Response:
    """Log jane in with a form; ``log_in`` gives the status alone."""
    client.cookies.clear()
    csrf = token_in(client.get("/login").text)
    entry = {"name": "jane", "password": PASSWORD, "csrf": csrf}
    return client.post("/login", data=entry)


def test_a_reader_works_through_the_proxies_of_the_docs(
    outside: tuple[Review, httpx.Client],
) -> None:
    review, client = outside
    entered = enter(client)
    (session,) = (
        one
        for one in entered.headers.get_list("set-cookie")
        if one.startswith("__Host-segpipe-review=")
    )

    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(session.split("; "))
    assert "domain" not in session.lower()
    assert "max-age" in entered.headers["strict-transport-security"]
    assert client.get(f"{review.item()}/A.nii.gz").content[:2] == b"\x1f\x8b"
    assert send(client, review.item(), **review.ratings()) == 303
    foreign = {"origin": "https://evil.example"}
    csrf = token_in(client.get("/").text)
    form_of_another = {"csrf": csrf, **review.ratings()}
    answer = client.post(review.item(), data=form_of_another, headers=foreign)
    assert (answer.status_code, answer.text[:7]) == (403, "Origin:")


@pytest.mark.parametrize(
    "claims",
    [
        {"x-forwarded-host": "evil.example"},
        {"x-forwarded-proto": "http"},
        {"forwarded": "host=evil.example;proto=http"},
    ],
)
def test_what_a_browser_claims_of_its_way_changes_nothing(
    outside: tuple[Review, httpx.Client], claims: dict[str, str]
) -> None:
    _, client = outside
    answer = client.get("/login", headers=claims)

    assert answer.status_code == 200
    assert "evil" not in f"{answer.text} {answer.headers}"
    assert "Secure" in answer.headers["set-cookie"]
    other = client.get("/login", headers={"host": "evil.example"})
    assert "csrf" not in other.text


def test_no_body_lies_on_the_disk_of_the_proxy(
    outside: tuple[Review, httpx.Client],
) -> None:
    """A mask of 30 MB, which the review reads in memory; a file in a folder, also one
    that is gone, changes the folder's time."""
    review, client = outside
    enter(client)
    folder = review.root.parent / "files"
    places = [path for path in folder.rglob("*") if path.is_dir()]
    before = {path: path.stat().st_mtime_ns for path in places}
    csrf = token_in(client.get("/").text)
    answer = client.post(
        f"{review.item()}/corrections/upload",
        data={"csrf": csrf, "password": PASSWORD, "purpose": "reference"},
        files={"file": ("mask.nii.gz", b"x" * (30 << 20))},
    )

    assert answer.json()["problem"]
    assert {path: path.stat().st_mtime_ns for path in places} == before


def test_guesses_through_the_proxy_are_counted_by_their_real_address(
    outside: tuple[Review, httpx.Client],
) -> None:
    _, client = outside
    client.cookies.clear()
    statuses = {_log_in_from(client, f"192.0.2.{number}") for number in range(1, 14)}

    assert 429 in statuses
