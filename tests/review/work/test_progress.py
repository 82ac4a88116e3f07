"""Progress says who has what, by the numbers of each queue, and no rating."""

from pathlib import Path

from segpipe.approval.chain.signing import append
from segpipe.review.accounts.users import revoke_user
from segpipe.review.dossier import read_key
from segpipe.review.work.progress import describe_progress
from segpipe.review.work.readings import read_signed
from segpipe.review.work.sections import Section
from segpipe.review.work.summary import find_missing
from tests.support.readers import ADMIN, PASSWORD, Review
from tests.support.work import open_work, protocol_of, reading_of, shown


def told(review: Review) -> Section:
    key, protocol = read_key(review.volume.folder), protocol_of(review.root)
    readings = read_signed(review.volume, key, review.chain.read(), protocol)
    return describe_progress(readings, find_missing(readings), review.database)


def test_what_is_left_is_told_by_person(tmp_path: Path) -> None:
    review = open_work(tmp_path, {f"item{n}": shown() for n in range(2)})
    nobody = " ".join(told(review).sentences)
    assert "4 signatures of readers and 0 of adjudicators are missing." in nobody
    assert "`segpipe review assign .reviews/liver-3` gives them" in nobody

    review.add("jane")
    (row,) = told(review).rows
    assert [*row.values()] == ["Dr Jane", "2", "0", "0", "0", "1, 2"]

    for name in ("jane", "john"):
        scores = {"jane": 1, "john": 4}
        content = reading_of(review.volume, "item0", {"candidate": scores[name]})
        if name == "john":
            review.add(name)
        append(content, name, PASSWORD, review.root)
    waiting = " ".join(told(review).sentences)
    assert "2 signatures of readers and 1 of adjudicators are missing." in waiting
    assert "1 case on which readers disagree waits for somebody" in waiting

    revoke_user(review.database, "john", "has gone", review.root, by=ADMIN)
    gone = told(review)
    assert "goes to others with `segpipe review assign`" in " ".join(gone.sentences)
    assert [row["person"] for row in gone.rows] == ["Dr Jane", "Dr John (has gone)"]
