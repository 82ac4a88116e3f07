"""No door lets a version through that the signed records do not allow."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import append
from segpipe.approval.chain.verification import verify
from segpipe.approval.policy import utc_now
from segpipe.approval.protocol import protocol_file
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model import load_back
from segpipe.registry.mlflow_model.approved import HEAD, Warrant
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.mlflow_model.locate import locate_segmenter
from segpipe.registry.promotion import promote, rollback
from segpipe.registry.store import SEGMENTER, connect, tracking_uri
from segpipe.registry.versions import find_alias
from segpipe.tools.segmenting.inbox.order import prepare_order
from tests.support.approved import (
    CHAMPION,
    about,
    approve,
    let_it_expire,
    let_the_trainer_approve,
    move_by_hand,
    move_to_an_approved_one_by_hand,
    warrant,
    withdraw,
)
from tests.support.reviews import (
    decision,
    password_of,
    signed,
    write_people,
    write_policy,
)
from tests.support.segmentations import PLAIN
from tests.support.stores import aliases


@pytest.fixture
def paths(
    reviewed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Paths:
    """A copy of the project, and the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "project"
    shutil.copytree(reviewed_once, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(Paths(root)))
    return Paths(root)


def by_segment(paths: Paths) -> None:
    """segment, export and the flow take a segmenter through this door."""
    locate_segmenter(CHAMPION, paths)


def by_version(paths: Paths) -> None:
    champion = find_alias("liver", "champion", paths)
    assert champion is not None
    locate_segmenter(f"models:/liver/{champion.version}", paths)


def by_mlflow(paths: Paths) -> None:
    """MLflow alone; it passes errors of the model's code on as they are, or its own."""
    try:
        mlflow.pyfunc.load_model(CHAMPION)
    except MlflowException as error:
        raise DataError(str(error)) from error


def by_promote(paths: Paths) -> None:
    promote("liver", "1", "again", paths, warrant())


DOORS = {"segment": by_segment, "version": by_version, "mlflow": by_mlflow}


@pytest.mark.parametrize("door", DOORS)
def test_the_champion_that_was_approved_and_promoted_may_be_used(
    paths: Paths, door: str
) -> None:
    DOORS[door](paths)

    head = find_alias("liver", "champion", paths)
    assert head is not None
    chain = verify(paths.root)
    assert chain.head is not None
    assert head.tags[HEAD] == chain.head.text
    assert [one.content.kind for one in chain.records[-2:]] == ["decision", "promotion"]


def edit_a_record(paths: Paths) -> None:
    path = record_path(paths.root, 6)
    path.write_text(path.read_text().replace("all 30 cases", "all 99 cases"))


def cut_the_chain_off(paths: Paths) -> None:
    """The promotion goes; the approval stays, and the alias too."""
    record_path(paths.root, 7).unlink()


def lose_the_records(paths: Paths) -> None:
    shutil.rmtree(paths.root / "reviews")


def lose_the_policy(paths: Paths) -> None:
    protocol_file(paths.root).unlink()


def approve_under_a_strange_key(paths: Paths) -> None:
    """The thief of the disk makes a chain of his own that approves version 2.

    No tag of version 2 knows the old chain, but that of version 1 does.
    """
    subject = about(paths, "2")
    shutil.rmtree(paths.root / "reviews")
    shutil.rmtree(paths.root / ".reviews")
    write_people(paths.root)
    for number in range(5):
        what = "approve" if number == 4 else "reject"
        signed(decision(subject, what, promote=True), "lea", paths.root)
    move_by_hand(paths)


# What is done, and what each door says.
ATTACKS: list[tuple[Callable[[Paths], None], set[str], str]] = [
    (move_by_hand, set(DOORS), "no record decides about the segmenter"),
    (
        move_to_an_approved_one_by_hand,
        {"segment", "mlflow"},
        "moved without a record",
    ),
    (let_it_expire, set(DOORS), "by Dr Lea expired on 20"),
    (let_the_trainer_approve, set(DOORS), "signed by Dr Max, who trained it"),
    (withdraw, set(DOORS), "Dr Lea withdrew its approval of it in record 8"),
    (edit_a_record, set(DOORS), "record 6 is not what lea signed: it was changed"),
    (cut_the_chain_off, set(DOORS), "record 7 is missing: MLflow's tag"),
    (lose_the_records, set(DOORS), "record 7 is missing: MLflow's tag"),
    (lose_the_policy, set(DOORS), "set SEGPIPE_REVIEWS to the folder reviews"),
    (approve_under_a_strange_key, set(DOORS), "the chain was rewritten"),
]


@pytest.mark.parametrize(
    ("attack", "doors", "words"), ATTACKS, ids=lambda one: getattr(one, "__name__", "")
)
def test_an_attack_is_refused_at_every_door_that_can_see_it(
    paths: Paths, attack: Callable[[Paths], None], doors: set[str], words: str
) -> None:
    attack(paths)

    for door in sorted(doors):
        with pytest.raises(DataError) as caught:
            DOORS[door](paths)
        assert words in str(caught.value), door
    assert fetch("models:/liver/1", paths).sealed  # for comparing it is still fetched


def exchange_the_weights(paths: Paths) -> None:
    """Version 1 keeps its sealed provenance, and gets the weights of version 2."""
    client, _ = connect(paths)
    mine, other = (fetch(f"models:/liver/{number}", paths).folder for number in (1, 2))
    source = client.get_model_version("liver", "1").source
    stored = Path(mlflow.artifacts.download_artifacts(source))  # the store's own files
    for folder in (mine, stored):
        for path in folder.rglob("segmenter/*/*"):
            (new,) = other.rglob("/".join(path.parts[-3:]))
            shutil.copyfile(new, path)


def exchange_them_and_the_tag(paths: Paths) -> None:
    exchange_the_weights(paths)
    client, _ = connect(paths)
    digest = client.get_model_version("liver", "2").tags[SEGMENTER]
    client.set_model_version_tag("liver", "1", SEGMENTER, digest)


def exchange_them_and_delete_the_tag(paths: Paths) -> None:
    exchange_the_weights(paths)
    client, _ = connect(paths)
    client.delete_model_version_tag("liver", "1", SEGMENTER)


@pytest.mark.parametrize("door", [*DOORS, "promote"])
@pytest.mark.parametrize(
    "attack",
    [exchange_the_weights, exchange_them_and_the_tag, exchange_them_and_delete_the_tag],
)
def test_other_weights_do_not_pass_for_those_that_were_approved(
    paths: Paths, attack: Callable[[Paths], None], door: str
) -> None:
    """Who owns MLflow exchanged files and tags; tags are no evidence."""
    attack(paths)

    with pytest.raises(DataError, match=r": expected the segmenter .*, found "):
        {**DOORS, "promote": by_promote}[door](paths)


def test_a_policy_that_is_switched_off_binds_the_versions_of_before(
    paths: Paths,
) -> None:
    path = protocol_file(paths.root)
    path.write_text(path.read_text().replace("require: true", "require: false"))
    move_by_hand(paths)

    for door in DOORS.values():
        with pytest.raises(DataError, match="no record decides about the segmenter"):
            door(paths)


def test_mlflow_elsewhere_needs_the_records_too(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="set SEGPIPE_REVIEWS"):
        by_mlflow(paths)

    monkeypatch.setenv("SEGPIPE_REVIEWS", str(paths.root / "reviews"))
    by_mlflow(paths)


def test_an_approval_of_one_digest_promotes_no_other(paths: Paths) -> None:
    with pytest.raises(
        DataError, match=r"no record decides .* approvals are of \w+ \(l"
    ):
        promote("liver", "2", "better", paths, warrant())

    assert aliases(paths) == {"champion": "1", "candidate": "2"}
    assert verify(paths.root).head.number == 7  # type: ignore[union-attr]


def test_nobody_promotes_without_a_signature(paths: Paths) -> None:
    approve(paths, "2")
    with pytest.raises(DataError, match="expected who signs its promotion, found nobo"):
        promote("liver", "2", "better", paths)
    with pytest.raises(DataError, match="only lead or admin may sign"):
        promote("liver", "2", "better", paths, warrant("rob"))
    with pytest.raises(DataError, match="found another; nothing was signed"):
        promote("liver", "2", "better", paths, Warrant("lea", "a guess of it"))
    assert aliases(paths) == {"champion": "1", "candidate": "2"}

    promote("liver", "2", "better", paths, warrant())
    assert aliases(paths) == {"champion": "2", "previous": "1"}
    by_segment(paths)


def test_a_decision_that_promotes_needs_no_second_signature(paths: Paths) -> None:
    approve(paths, "2", promote=True)
    with pytest.raises(DataError, match="the records name, version 2, by Dr Lea"):
        by_segment(paths)  # until the alias follows

    promote("liver", "2", "approved", paths)

    by_segment(paths)
    assert verify(paths.root).head.number == 8  # type: ignore[union-attr]


def test_a_rollback_goes_to_an_approved_version_only(paths: Paths) -> None:
    approve(paths, "2")
    promote("liver", "2", "better", paths, warrant())
    withdraw(paths)
    with pytest.raises(DataError, match="withdrew its approval of it in record 10"):
        rollback("liver", "worse", paths, warrant())
    assert aliases(paths) == {"champion": "2", "previous": "1"}

    approve(paths, "1")
    rollback("liver", "worse", paths, warrant())
    assert aliases(paths) == {"champion": "1", "previous": "2"}
    content = verify(paths.root).records[-1].content
    assert content.kind == "promotion"
    assert (content.act, content.before, content.reason) == ("rollback", "2", "worse")
    by_segment(paths)


def test_an_emergency_is_signed_and_ends(paths: Paths) -> None:
    with pytest.raises(DataError, match="only lead or admin may sign"):
        promote("liver", "2", "why", paths, warrant("rob", emergency=True))

    promote("liver", "2", "1 fails", paths, warrant("ann", emergency=True))

    by_segment(paths)
    by_mlflow(paths)
    content = verify(paths.root).records[-1].content
    assert content.kind == "emergency"
    assert content.reason == "1 fails"
    left = content.expires - utc_now()
    assert timedelta(hours=71) < left <= timedelta(hours=72)
    over = content.model_copy(update={"expires": utc_now() - timedelta(seconds=1)})
    append(over, "ann", password_of("ann"), paths.root)
    with pytest.raises(DataError, match="no record decides about"):
        by_segment(paths)


def test_figures_below_a_gate_are_not_promoted(paths: Paths) -> None:
    """The figures are those of the sealed provenance: 0.75."""
    approve(paths, "2")
    write_policy(paths.root, gates="{test/dice: 0.8}")

    with pytest.raises(DataError, match=r"test/dice is 0.75, below the 0.8 of policy"):
        promote("liver", "2", "better", paths, warrant())


def test_a_promotion_that_was_killed_after_its_record_is_completed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.store_kills import run_killed

    approve(paths, "2")
    assert run_killed(lambda: promote("liver", "2", "better", paths, warrant()), 3)

    promote("liver", "2", "better", paths, warrant())

    assert aliases(paths) == {"champion": "2", "previous": "1"}
    assert verify(paths.root).head.number == 9  # type: ignore[union-attr]


def test_the_flow_takes_its_segmenter_through_the_same_door(paths: Paths) -> None:
    output = paths.root / "masks"
    assert prepare_order(CHAMPION, output, PLAIN, paths).record.version == "1"

    move_by_hand(paths)
    with pytest.raises(DataError, match="no record decides about the segmenter"):
        prepare_order(CHAMPION, output, PLAIN, paths)


def test_registering_tries_a_model_that_nobody_approved_yet(paths: Paths) -> None:
    """It segments a case of the test set, for nobody's care."""
    given, taken = paths.root / "image.npz", paths.root / "labels.npy"
    np.savez(given, array=np.ones((1, 16, 18, 20), np.float32), affine=np.eye(4))

    load_back.main("liver/2", str(given), str(taken))

    assert np.load(taken).shape == (16, 18, 20)


def test_a_folder_is_segmented_with_a_warning(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    locate_segmenter(str(paths.root / "packed" / "2" / "segmenter"), paths)

    assert "no approval was asked for" in caplog.text
