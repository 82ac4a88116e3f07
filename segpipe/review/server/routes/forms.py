"""Forms: what a reader filled in, from the fields of the page to ratings."""

from math import isfinite

from starlette.datastructures import FormData

from segpipe.project.errors import DataError
from segpipe.review.accounts.readings import Ratings
from segpipe.review.dossier import Dossier, Item
from segpipe.review.server.access import text_of

# What a reader may say of a structure, as the page shows it.
SCORES = {
    "4": "4 as it is",
    "3": "3 minor correction",
    "2": "2 major correction",
    "1": "1 unacceptable",
    "none": "cannot judge",
}
LONGEST_COMMENT = 1000


def read_ratings(fields: FormData, dossier: Dossier, item: Item) -> Ratings:
    """Read what was said of every structure of every letter.

    An artefact and a comment are said of a structure in the image, and so stand with
    the rating of each letter.

    Raises:
        DataError: If a rating is missing or is none that can be, or a comment is long.
    """
    ratings: Ratings = {letter: {} for letter in item.letters}
    missing = []
    for structure in dossier.structures:
        value = structure.value
        comment = text_of(fields, f"comment-{value}").strip()
        if len(comment) > LONGEST_COMMENT:
            raise DataError(
                f"{structure.name}: expected a comment of at most {LONGEST_COMMENT} "
                f"characters, found {len(comment)}"
            )
        artefact = text_of(fields, f"artefact-{value}") == "yes"
        for letter in item.letters:
            score = text_of(fields, f"score-{letter}-{value}")
            if score not in SCORES:
                missing.append(f"{letter} {structure.name}")
                continue
            ratings[letter][structure.name] = {
                "score": None if score == "none" else int(score),
                "artefact": artefact,
                "comment": comment,
            }
    if missing:
        raise DataError(
            f"Not rated yet: {', '.join(missing[:5])}"
            f"{' and others' if len(missing) > 5 else ''}."
        )
    return ratings


def read_seconds(fields: FormData) -> float | None:
    """Read the time at work as the page counted it; None without a script."""
    try:
        seconds = float(text_of(fields, "seconds"))
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def fill(ratings: Ratings) -> dict[str, str]:
    """The fields of the page for ratings that were stored."""
    fields = {}
    for letter, structures in ratings.items():
        for structure, rating in structures.items():
            score = rating["score"]
            fields[f"score-{letter}-{structure}"] = (
                "none" if score is None else f"{score}"
            )
            fields[f"artefact-{structure}"] = "yes" if rating["artefact"] else ""
            fields[f"comment-{structure}"] = rating["comment"]
    return fields
