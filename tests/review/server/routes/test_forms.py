"""Every structure of every letter is rated, with one of the known words."""

import json

import pytest
from starlette.datastructures import FormData

from segpipe.project.errors import DataError
from segpipe.review.dossier import Dossier, Item
from segpipe.review.server.routes.forms import fill, read_ratings, read_seconds

ITEM = Item(id="abcdef", letters=("A", "B"))
DOSSIER = Dossier.model_validate_json(
    json.dumps(
        {
            "format_version": 1,
            "name": "x",
            "version": "1",
            "segmenter": "0" * 64,
            "champion": None,
            "protocol": "1" * 64,
            "data": None,
            "code": None,
            "made": "2026-11-26T10:00:00Z",
            "unit": "mm",
            "windows": [],
            "items": [],
            "structures": [
                {"name": "liver", "value": 1},
                {"name": "tumour", "value": 2},
            ],
            "files": {},
        }
    )
)
GOOD = {
    "score-A-1": "4",
    "score-A-2": "1",
    "score-B-1": "none",
    "score-B-2": "3",
    "artefact-2": "yes",
    "comment-2": " <script>alert(1)</script> ",
}


def test_ratings_are_read_as_they_were_given_and_shown_again() -> None:
    ratings = read_ratings(FormData(GOOD), DOSSIER, ITEM)

    clean = {"artefact": False, "comment": ""}
    said = {"artefact": True, "comment": "<script>alert(1)</script>"}
    assert ratings == {
        "A": {"liver": {"score": 4, **clean}, "tumour": {"score": 1, **said}},
        "B": {"liver": {"score": None, **clean}, "tumour": {"score": 3, **said}},
    }
    assert fill(ratings)["score-B-liver"] == "none"
    assert fill(ratings)["artefact-tumour"] == "yes"


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("score-A-1", "", "A liver"),
        ("score-A-1", "5", "A liver"),
        ("score-B-2", "-1", "B tumour"),
        ("score-B-2", "4.0", "B tumour"),
        ("comment-1", "x" * 1001, "found 1001"),
    ],
)
def test_what_is_missing_or_strange_is_named(
    field: str, value: str, found: str
) -> None:
    with pytest.raises(DataError, match=found):
        read_ratings(FormData({**GOOD, field: value}), DOSSIER, ITEM)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_seconds_are_a_number_or_unknown(text: str, seconds: float | None) -> None:
    assert read_seconds(FormData({"seconds": text})) == seconds
