"""What is registered is what was trained, complete, once, and known for what it is."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Executor
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from segpipe.approval.protocol import protocol_file
from segpipe.dataset.split import read_split
from segpipe.project.documents import write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE as FILE_OF_STUDY
from segpipe.project.paths import Paths
from segpipe.registry import register as registering
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.mlflow_model.load_back import read_test_image
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.registry.mlflow_model.pack import Packed, log_model
from segpipe.registry.mlflow_model.provenance import FILE, read_provenance
from segpipe.registry.mlflow_model.serving import default_inference
from segpipe.registry.record import record
from segpipe.registry.register import (
    build_provenance,
    check_evidence,
    default_name,
    find_trained,
    register_model,
)
from segpipe.registry.store import connect
from segpipe.registry.versions import Version, find_alias, find_version, list_versions
from segpipe.tools.study.files import describe_study
from tests.support.projects import PATIENTS
from tests.support.registered import (
    MODEL,
    measure,
    train,
    write_lock,
    write_project,
)
from tests.support.reviews import write_policy
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.servers import mlflow_server
from tests.support.store_kills import kill_before_each_write


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which nothing is registered; copy it, never change it."""
    return write_project(tmp_path_factory.mktemp("evaluated")).root


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, evaluated: Path
) -> tuple[Paths, Version]:
    """A project with a registered version."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    shutil.copytree(evaluated, paths.root, dirs_exist_ok=True)
    write_text(
        paths.root / "dvc.lock",
        "stages:\n  verify:\n    deps:\n    - path: data\n      md5: abc.dir\n",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        tags = {"prefect.flow_run": "f"}
        return paths, register_model(MODEL, "liver", tags=tags, paths=paths)


@pytest.fixture
def paths(paths: Paths, evaluated: Path) -> Paths:
    """A project of which nothing is registered, with a store of its own."""
    shutil.copytree(evaluated, paths.root, dirs_exist_ok=True)
    return paths


def test_a_version_says_what_it_is(whole: tuple[Paths, Version]) -> None:
    paths, version = whole

    metrics = paths.artifacts / "evaluate" / MODEL / "metrics.json"
    dice = json.loads(metrics.read_text())["test"]["dice_mean"]
    assert (version.name, version.version) == ("liver", "1")
    assert version.aliases == ("candidate",)
    assert version.tags["segpipe.model"] == MODEL
    assert version.tags["segpipe.data"] == "abc.dir"
    assert version.tags["prefect.flow_run"] == "f"
    assert version.tags["review.status"] == "pending"
    assert float(version.tags["test/dice"]) == pytest.approx(dice, rel=1e-5)
    assert {"test/iou", "test/pa", "segpipe.lock"} <= set(version.tags)
    lock = subprocess.run(
        ["md5sum", paths.root / "dvc.lock"], capture_output=True, text=True, check=True
    )
    assert version.tags["segpipe.lock"] == lock.stdout.split()[0]


def test_a_version_says_whether_it_needs_an_approval_and_who_trained_it(
    whole: tuple[Paths, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without review.yaml its provenance is the one of before, byte for byte."""
    paths, _ = whole
    trained = find_trained(MODEL, paths)
    plain = build_provenance(trained, paths, trained_by=("tom",))
    monkeypatch.setenv("LOGNAME", "eve")
    write_policy(paths.root)
    bound = build_provenance(trained, paths, trained_by=("tom",))
    protocol_file(paths.root).unlink()

    assert not {"approval", "trainers"} & set(plain.model_dump())
    assert bound.approval == "required"
    assert {"eve", "tom"} <= set(bound.trainers)


def test_its_evidence_is_sealed(whole: tuple[Paths, Version]) -> None:
    paths, version = whole

    fetched = fetch("models:/liver/1", paths)

    (file,) = fetched.folder.rglob(FILE)
    done = subprocess.run(["sha256sum", file], capture_output=True, text=True)
    assert version.tags["segpipe.provenance"] == done.stdout.split()[0]
    assert fetched.sealed


@pytest.mark.parametrize(
    "tag", ["test/dice", "segpipe.model", "segpipe.segmenter", "segpipe.data"]
)
def test_a_figure_that_somebody_wrote_on_the_page_is_noticed(
    whole: tuple[Paths, Version], tag: str
) -> None:
    """Who promotes has read the tags; they are read against the sealed document."""
    paths, version = whole
    client, _ = connect(paths)
    check_evidence(version, paths)
    client.set_model_version_tag("liver", "1", tag, "0.999")

    with pytest.raises(DataError, match=r"expected the (tag|segmenter) .*0\.999"):
        check_evidence(find_version("liver", "1", paths), paths)
    client.set_model_version_tag("liver", "1", tag, version.tags[tag])
    check_evidence(find_version("liver", "1", paths), paths)


def test_what_is_fetched_is_the_segmenter_of_the_folds(
    whole: tuple[Paths, Version],
) -> None:
    paths, version = whole
    uri = "models:/liver@candidate"

    _, record = load_segmenter(uri, paths)

    _, local = load_segmenter(str(paths.artifacts / "train" / MODEL), paths)
    assert record.folds == local.folds
    assert record.digest == local.digest == version.tags["segpipe.segmenter"]
    assert (record.name, record.version, record.run) == ("liver", "1", version.run)


def test_the_patients_of_all_folds_travel_along_and_those_of_the_test_set_do_not(
    whole: tuple[Paths, Version],
) -> None:
    paths, version = whole

    made = read_provenance(fetch("models:/liver/1", paths).folder)

    test = {PATIENTS[name] for name in read_split(paths.artifacts).test}
    assert {p for p in PATIENTS.values() if made.knows(p)} == {
        *PATIENTS.values()
    } - test
    assert made.digest == version.tags["segpipe.segmenter"]
    assert made.metrics["test/dice"] > 0.5


def test_anybody_with_mlflow_gets_the_labels_of_the_folds(
    whole: tuple[Paths, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = whole
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/mlflow.db")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    _, image = read_test_image(paths)
    segmenter, _ = load_segmenter(str(paths.artifacts / "train" / MODEL), paths)

    loaded = mlflow.pyfunc.load_model("models:/liver@candidate")
    affine = image.grid.affine.ravel().tolist()
    labels = loaded.predict(image.array[np.newaxis], params={"affine": affine})

    expected = segmenter.segment(image, default_inference()).array
    assert len(np.unique(expected)) > 1
    assert labels.shape == (1, *image.grid.shape)
    np.testing.assert_array_equal(labels[0], expected)


def test_its_run_is_the_one_that_record_makes(whole: tuple[Paths, Version]) -> None:
    paths, version = whole
    client, experiment = connect(paths)

    runs = client.search_runs([experiment])

    assert len(runs) == 3  # the model and its two folds
    assert version.run is not None
    assert client.get_run(version.run).data.metrics["test/dice"] > 0.5


def test_the_same_segmenter_never_comes_twice(whole: tuple[Paths, Version]) -> None:
    paths, version = whole

    again = register_model(MODEL, "liver", tags={}, paths=paths)

    assert again == version
    assert len(list_versions(None, paths)) == 1


def test_a_new_training_is_a_new_version_and_the_candidate(
    whole: tuple[Paths, Version], tmp_path: Path
) -> None:
    """In a copy of the project, store and all."""
    known, first = whole
    paths = Paths(tmp_path / known.root.name)
    shutil.copytree(known.root, paths.root)
    train(paths, seed=7)
    second = register_model(MODEL, "liver", tags={}, paths=paths)

    assert second.version == "2"
    assert second.tags["segpipe.segmenter"] != first.tags["segpipe.segmenter"]
    assert second.run != first.run
    candidate = find_alias("liver", "candidate", paths)
    assert candidate is not None
    assert candidate.version == "2"


@pytest.mark.slow
def test_a_server_keeps_the_model_and_gives_it_to_others(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)

        version = register_model(MODEL, None, tags={}, paths=paths)

        elsewhere = Paths(tmp_path / "there")
        _, record = load_segmenter(f"models:/{version.name}@candidate", elsewhere)
        assert record.digest == version.tags["segpipe.segmenter"]
        loaded = mlflow.pyfunc.load_model(f"models:/{version.name}/1")
        with pytest.raises(MlflowException, match="does not match expected shape"):
            loaded.predict(np.zeros((1, 2, 8, 8, 8), np.float32))
    with pytest.raises(DataError, match=r"expected an MLflow server .* start it"):
        register_model(MODEL, None, tags={}, paths=paths)


def test_a_logged_model_of_other_labels_is_not_registered(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another fold gets into the package: as if packing had gone wrong."""
    other = paths.root / "other"
    save_segmenter(other, make_plan(spacing=(1.0, 1.0, 2.0)), seed=99)

    def damaged(packed: Packed, run: str, paths: Paths) -> str:
        shutil.copytree(other, packed.folder / "0", dirs_exist_ok=True)
        return log_model(packed, run, paths)

    monkeypatch.setattr("segpipe.registry.register.log_model", damaged)
    with pytest.raises(DataError, match=r"(?s)expected the segmenter .* nothing was"):
        register_model(MODEL, "liver", tags={}, paths=paths)

    assert list_versions(None, paths) == []
    client, experiment = connect(paths)
    (logged,) = client.search_logged_models([experiment])
    assert logged.status == "FAILED"


def register_and_die(root: Path, moment: str, python: str) -> int:
    """Register in a fork that is killed at a moment; its exit status."""
    process = os.fork()
    if process == 0:
        try:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            sys.executable = python
            owner, name = {
                "before": (registering, "create_version"),
                "after": (MlflowClient, "set_registered_model_alias"),
            }[moment]
            setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            register_model(MODEL, "liver", tags={}, paths=Paths(root))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize(("moment", "versions"), [("before", 0), ("after", 1)])
def test_a_killed_registration_leaves_a_whole_version_or_none(
    paths: Paths, forker: Executor, moment: str, versions: int
) -> None:
    words = (paths.root, moment, sys.executable)
    killed = forker.submit(register_and_die, *words).result(timeout=240)

    assert killed == -signal.SIGKILL
    found = list_versions("liver", paths)
    assert len(found) == versions
    for version in found:
        _, record = load_segmenter("models:/liver/1", paths)
        assert record.digest == version.tags["segpipe.segmenter"]
    again = register_model(MODEL, "liver", tags={}, paths=paths)
    assert (again.version, again.aliases) == ("1", ("candidate",))


def test_killed_before_each_write_and_repeated_it_ends_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading back writes nothing; it takes seconds each time, so it is left out.

    The writes: create, fill and close the logged model, create the name, the version
    and its alias. Those of record stand in test_record.
    """
    monkeypatch.setattr("segpipe.registry.register.check_loads_back", lambda *_: None)
    record(paths)

    def act() -> Version:
        return register_model(MODEL, "liver", tags={}, paths=paths)

    assert kill_before_each_write(paths, act, name="liver") == 8
    # The mend of an error of fetch: delete the version and register the model again.
    connect(paths)[0].delete_model_version("liver", act().version)
    assert act().aliases == ("candidate",)
    assert fetch("models:/liver@candidate", paths).sealed


def test_figures_of_another_segmenter_are_refused(paths: Paths) -> None:
    folder = paths.artifacts / "train" / MODEL / "1" / "segmenter"
    save_segmenter(folder, make_plan(spacing=(1.0, 1.0, 2.0)), seed=5)

    with pytest.raises(DataError, match="of another training; run `dvc repro`"):
        register_model(MODEL, "liver", tags={}, paths=paths)
    measure(paths)
    (paths.artifacts / "evaluate" / MODEL / "metrics.json").unlink()
    with pytest.raises(DataError, match="never measured"):
        register_model(MODEL, "liver", tags={}, paths=paths)


def test_figures_that_were_changed_by_hand_are_refused(paths: Paths) -> None:
    """Otherwise they would be registered, and sealed."""
    metrics = paths.artifacts / "evaluate" / MODEL / "metrics.json"
    trained, text = find_trained(MODEL, paths), metrics.read_text()
    write_lock(paths, metrics)
    made = build_provenance(trained, paths)
    write_text(metrics, text.replace("0.", "0.9"))

    with pytest.raises(
        DataError, match=r"metrics\.json: expected the file that its st"
    ):
        build_provenance(trained, paths)
    write_text(metrics, text)  # as dvc repro does
    assert build_provenance(trained, paths) == made


@pytest.mark.parametrize(
    ("model", "folds", "words"),
    [("other", [0, 1], "found m; name one"), (MODEL, [0, 1, 2], "2/segmenter: exp")],
)
def test_what_is_not_trained_is_said(
    paths: Paths, model: str, folds: list[int], words: str
) -> None:
    text = f"format_version: 1\nmodels: [{MODEL}]\nfolds: {folds}\n"
    write_text(paths.params, text)

    with pytest.raises(DataError, match=words):
        register_model(model, "liver", tags={}, paths=paths)


def test_only_listed_folds_count_and_in_the_order_of_their_numbers(
    paths: Paths,
) -> None:
    both = find_trained(MODEL, paths)
    write_text(paths.params, f"format_version: 1\nmodels: [{MODEL}]\nfolds: [1, 0]\n")
    turned = find_trained(MODEL, paths)
    write_text(paths.params, f"format_version: 1\nmodels: [{MODEL}]\nfolds: [1]\n")
    one = find_trained(MODEL, paths)

    assert turned == both
    assert list(one.folders) == [1]
    _, record = load_segmenter(str(one.folders[1]), paths)
    assert one.digest == record.digest


@pytest.mark.parametrize("name", ["a b", "a/b", "..", "-x"])
def test_a_name_that_mlflow_or_a_disk_would_not_take_is_refused(
    paths: Paths, name: str
) -> None:
    with pytest.raises(DataError, match="expected letters, digits"):
        register_model(MODEL, name, tags={}, paths=paths)


@pytest.mark.parametrize(
    ("said", "name"),
    [("Phantom", "phantom"), ("Liver CT (2024)", "liver-ct-2024"), ("肝", "my-folder")],
)
def test_a_segmenter_is_called_after_its_data_set(
    tmp_path: Path, said: str, name: str
) -> None:
    paths = Paths(tmp_path / "My Folder")
    write_json(
        paths.data / "dataset.json",
        {
            "name": said,
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "liver": 1},
            "numTraining": 1,
            "file_ending": ".nii",
        },
    )

    assert default_name(paths) == name


def test_without_data_it_is_called_after_its_folder(tmp_path: Path) -> None:
    assert default_name(Paths(tmp_path / "Liver")) == "liver"


def test_a_study_without_a_named_data_set_registers_under_its_own_name(
    tmp_path: Path,
) -> None:
    """Two studies on one server may lie in folders of the same name."""
    describe_study("liver-ct", {}).write(tmp_path / "work" / FILE_OF_STUDY)

    assert default_name(Paths(tmp_path / "work")) == "liver-ct"
