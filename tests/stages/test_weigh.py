"""The border term and the class counts of each case."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.prepared import (
    CaseIndex,
    ClassCounts,
    counts_file,
    prepared_case,
    read_counts,
    read_separation,
)
from segpipe.images.borders import border_weights
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import read_plan
from segpipe.stages import annotate, plan, preprocess, weigh
from segpipe.training.patches.cases import read_training_case
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    ANNOTATE,
    PATIENTS,
    PLAN,
    PREPROCESS,
    TRAIN,
    WEIGH,
    changed,
    run_to_split,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, instances=True, ignore=9)
    run_to_split(paths)
    plan.run(PLAN, models={"m": TRAIN}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(changed(ANNOTATE, rule="all"), paths=paths)
    return paths


def load(paths: Paths, stage: str, name: str) -> np.ndarray:
    return np.asarray(np.load(paths.artifacts / stage / "case_06" / f"{name}.npy"))


@pytest.mark.parametrize(
    ("unit", "spacing"), [("px", (1.0, 1.0, 1.0)), ("mm", (1.0, 1.0, 2.0))]
)
def test_the_term_is_that_of_the_instances_in_the_chosen_unit(
    unit: str, spacing: tuple[float, float, float], paths: Paths
) -> None:
    weigh.run(changed(WEIGH, unit=unit), paths=paths)

    for dimensions in (2, 3):
        expected = border_weights(
            load(paths, "preprocess", "instances"),
            w0=10.0,
            sigma=5.0,
            spacing=spacing,
            dimensions=dimensions,
            domain="background",
        )
        expected[load(paths, "preprocess", "label") < 0] = 0
        found = load(paths, "weigh", f"border-{dimensions}d")
        assert np.array_equal(found, expected)
        assert found.max() > 1


def test_each_network_reads_the_maps_of_its_dimensions(paths: Paths) -> None:
    """Balls above each other touch across slices: only a 3-D network learns lines."""
    for file in (paths.artifacts / "preprocess").glob("case_*/instances.npy"):
        label = np.load(file.with_name("label.npy"))
        ids = np.zeros_like(label, dtype=np.int32)
        ids[label > 0] = 1 + (np.argwhere(label > 0)[:, 2] >= ids.shape[2] // 2)
        np.save(file, ids)
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    lines = {}
    for dimensions in (2, 3):
        case = read_training_case(
            paths.artifacts,
            "case_06",
            dimensions=dimensions,
            border=True,
            sparse=False,
            balanced=False,
            matched=False,
            seed=0,
            legend=read_plan(paths.artifacts).legend.indexed,
        )
        assert np.array_equal(
            case.border, load(paths, "weigh", f"border-{dimensions}d")
        )
        lines[dimensions] = case.separation
        said = read_separation(paths.artifacts, dimensions)
        assert said is not None
        assert said.dimensions == dimensions
    assert not lines[2].any()
    assert lines[3].any()


def test_images_have_the_maps_of_2d_networks_only(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, dimensions=2, cases=10, patients=PATIENTS, instances=True)
    run_to_split(paths, dimensions=2)
    flat = changed(TRAIN, network="unet2d", patch_size=(16, 16, 1))
    plan.run(PLAN, models={"m": flat}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    made = {file.name for file in (paths.artifacts / "weigh").rglob("*-[23]d.*")}
    assert made == {"border-2d.npy", "separation-2d.npy", "separation-2d.json"}


def test_counts_are_of_annotated_voxels_by_class(paths: Paths) -> None:
    weigh.run(WEIGH, paths=paths)
    counts = ClassCounts.read(paths.artifacts / "weigh" / "counts.json").counts

    label = load(paths, "preprocess", "label")
    expected = [int((label == number).sum()) for number in range(3)]
    assert list(counts["case_06"]) == expected
    assert sum(expected) < label.size


def test_without_instances_each_component_is_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    plan.run(PLAN, models={"m": TRAIN}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    assert load(paths, "weigh", "border-3d").max() > 1
    assert not load(paths, "weigh", "separation-3d").any()
    assert read_separation(paths.artifacts, 3) is None  # nothing grows back in use


def test_touching_instances_can_be_separated(paths: Paths) -> None:
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    label = load(paths, "preprocess", "label")
    separation = load(paths, "weigh", "separation-3d")
    assert separation.dtype == bool
    assert not separation[label <= 0].any()
    said = read_separation(paths.artifacts, 3)
    assert said is not None
    assert (said.dimensions, said.spacing) == (3, (1, 1, 2))
    weigh.run(WEIGH, paths=paths)
    assert read_separation(paths.artifacts, 3) is None


@pytest.mark.parametrize("drawn", [True, False])
def test_hidden_voxels_weigh_as_if_nobody_had_annotated_them(
    drawn: bool, paths: Paths
) -> None:
    """The known maps are those of labels whose other voxels nobody annotated.

    Seeds: N10.
    """
    apart = changed(WEIGH, separate_touching=True)
    prepared = prepared_case(paths.artifacts, "case_06")
    if not drawn:
        (prepared.folder / "instances.npy").unlink()
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(apart, paths=paths)
    known = np.load(paths.artifacts / "annotate" / "case_06.npy")
    folder = paths.artifacts / "weigh" / "case_06"
    found = {file.name: np.load(file) for file in (folder / "known").iterdir()}
    dense = np.load(folder / "border-3d.npy")
    counts = read_counts(paths.artifacts, sparse=True)["case_06"]
    prepared.save_label(known)
    if drawn:
        ids = np.array(prepared.instances)
        prepared.save_instances(np.where(known >= 0, ids, 0).astype(np.int32))
    shutil.rmtree(paths.cache / "weigh")
    annotate.run(changed(ANNOTATE, rule="all"), paths=paths)
    weigh.run(apart, paths=paths)

    assert set(found) == {file.name for file in folder.iterdir()}
    for name, array in found.items():
        np.testing.assert_array_equal(array, np.load(folder / name))
    assert counts == tuple(int((known == value).sum()) for value in range(3))
    assert (found["border-3d.npy"] != dense)[known >= 0].any()
    assert not found["border-3d.npy"][known < 0].any()
    assert not ClassCounts.read(counts_file(paths.artifacts / "weigh")).known


def test_finished_cases_are_taken_from_the_cache(paths: Paths) -> None:
    weigh.run(WEIGH, paths=paths)
    index = CaseIndex.read(paths.artifacts / "weigh" / "index.json").cases
    entries = {e.name: e.stat().st_ino for e in (paths.cache / "weigh").iterdir()}
    weigh.run(changed(WEIGH, workers=2), paths=paths)

    assert set(entries) == set(index.values())
    again = {e.name: e.stat().st_ino for e in (paths.cache / "weigh").iterdir()}
    assert again == entries
    weigh.run(changed(WEIGH, sigma=4.0), paths=paths)
    other = json.loads((paths.artifacts / "weigh" / "index.json").read_text())
    assert not set(other["cases"].values()) & set(entries)
