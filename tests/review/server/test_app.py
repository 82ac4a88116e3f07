"""The app answers, and says nothing of itself where something fails."""

import re
import resource
from pathlib import Path

import httpx
import pytest

from segpipe.approval.chain.verification import verify
from segpipe.review.server.app import build_settings
from tests.support.readers import (
    PASSWORD,
    log_in,
    member,
    open_review,
    served,
    stranger,
    token_in,
)


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


LAB = "review.example.org"
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
