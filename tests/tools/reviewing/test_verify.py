"""The chain is compared with all that is known of it elsewhere."""

from pathlib import Path

import pytest

from segpipe.approval.chain.folder import record_path
from segpipe.approval.records import AnchorNote
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import connect
from segpipe.tools.reviewing.verify import verify
from tests.support.reviews import OTHER, digest_of, signed


def test_a_whole_chain_prints_its_head(project: Paths) -> None:
    proof = verify([], project)

    assert proof.whole
    assert proof.lines[0].startswith("12 records: each follows the one before")
    assert f"head 12:{digest_of(project.root, 12)};" in proof.lines[2]


@pytest.mark.parametrize("place", ["head", "tag", "note"])
def test_each_anchor_is_compared(project: Paths, place: str) -> None:
    wrong, heads = f"10:{OTHER}", []
    if place == "head":
        heads = [wrong]
    elif place == "tag":
        connect(project)[0].set_model_version_tag("liver", "1", "review.head", wrong)
    else:
        note = AnchorNote(place="the dossier of May", head=10, digest=OTHER)
        signed(note, "ann", project.root)

    proof = verify(heads, project)

    assert not proof.whole
    assert proof.lines[0] == "the first broken link:"
    assert (
        f"record 10 has the digest {digest_of(project.root, 10)[:12]}, but"
        in (proof.lines[1])
    )


def test_a_broken_chain_names_its_first_broken_link(project: Paths) -> None:
    record_path(project.root, 4).unlink()

    proof = verify([], project)

    assert not proof.whole
    assert "record 4 is missing before record 5" in proof.lines[1]


def test_nothing_is_made_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    proof = verify([], Paths(tmp_path))

    assert proof.whole
    assert "no records yet" in proof.lines[0]
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="--head 12: expected NUMBER:DIGEST"):
        verify(["12"], Paths(tmp_path))
