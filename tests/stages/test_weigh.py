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
    weighed_case,
)
from segpipe.images.borders import border_weights
from segpipe.project.paths import Paths
from segpipe.stages import annotate, plan, preprocess, weigh
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
    return np.asarray(np.load(paths.artifacts / stage / "case_02" / f"{name}.npy"))


@pytest.mark.parametrize(
    ("unit", "spacing"), [("px", (1.0, 1.0, 1.0)), ("mm", (1.0, 1.0, 2.0))]
)
def test_the_term_is_that_of_the_instances_in_the_chosen_unit(
    unit: str, spacing: tuple[float, float, float], paths: Paths
) -> None:
    weigh.run(changed(WEIGH, unit=unit), paths=paths)

    expected = border_weights(
        load(paths, "preprocess", "instances"),
        w0=10.0,
        sigma=5.0,
        spacing=spacing,
        dimensions=3,
        domain="background",
    )
    expected[load(paths, "preprocess", "label") < 0] = 0
    found = load(paths, "weigh", "border")
    assert np.array_equal(found, expected)
    assert found.max() > 1


def test_counts_are_of_annotated_voxels_by_class(paths: Paths) -> None:
    weigh.run(WEIGH, paths=paths)
    counts = ClassCounts.read(paths.artifacts / "weigh" / "counts.json").counts

    label = load(paths, "preprocess", "label")
    expected = [int((label == number).sum()) for number in range(3)]
    assert list(counts["case_02"]) == expected
    assert sum(expected) < label.size


def test_without_instances_each_component_is_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    plan.run(PLAN, models={"m": TRAIN}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(WEIGH, paths=paths)

    assert load(paths, "weigh", "border").max() > 1


def test_touching_instances_can_be_separated(paths: Paths) -> None:
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    label = load(paths, "preprocess", "label")
    separation = load(paths, "weigh", "separation")
    assert separation.dtype == bool
    assert not separation[label <= 0].any()
    said = read_separation(paths.artifacts)
    assert said is not None
    assert (said.dimensions, said.spacing) == (3, (1, 1, 2))
    weigh.run(WEIGH, paths=paths)
    assert read_separation(paths.artifacts) is None


@pytest.mark.parametrize(("dimensions", "warned"), [(2, True), (3, False)])
def test_lines_within_slices_of_volumes_are_warned_of(
    dimensions: int, warned: bool, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    weigh.run(
        changed(WEIGH, separate_touching=True, dimensions=dimensions), paths=paths
    )

    assert ("set weigh.dimensions: 3" in caplog.text) == warned


@pytest.mark.parametrize("drawn", [True, False])
def test_hidden_voxels_weigh_as_if_nobody_had_annotated_them(
    drawn: bool, paths: Paths
) -> None:
    """The known map is that of labels whose other voxels nobody annotated."""
    apart = changed(WEIGH, separate_touching=True)
    prepared = prepared_case(paths.artifacts, "case_02")
    if not drawn:
        (prepared.folder / "instances.npy").unlink()
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(apart, paths=paths)
    found = weighed_case(paths.artifacts, "case_02").known
    border, lines = np.array(found.border), np.array(found.separation)
    counts = read_counts(paths.artifacts, sparse=True)["case_02"]
    dense = load(paths, "weigh", "border")
    known = np.load(paths.artifacts / "annotate" / "case_02.npy")
    prepared.save_label(known)
    if drawn:
        ids = np.array(prepared.instances)
        prepared.save_instances(np.where(known >= 0, ids, 0).astype(np.int32))
    shutil.rmtree(paths.cache / "weigh")
    annotate.run(changed(ANNOTATE, rule="all"), paths=paths)
    weigh.run(apart, paths=paths)

    np.testing.assert_array_equal(border, load(paths, "weigh", "border"))
    np.testing.assert_array_equal(lines, load(paths, "weigh", "separation"))
    assert counts == tuple(int((known == value).sum()) for value in range(3))
    assert (border != dense)[known >= 0].any()
    assert not border[known < 0].any()
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
