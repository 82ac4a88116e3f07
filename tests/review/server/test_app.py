"""The app answers, and says nothing of itself where something fails."""

from pathlib import Path

from tests.support.readers import member, open_review, served, stranger


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
