import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.uid import UID
from scipy import ndimage

from segpipe.images.dicom import series as dicom
from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti, raster
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.run import build_row, describe_outcome
from tests.support.dicoms import SECRETS, write_objects, write_series
from tests.support.phantoms import write_volume
from tests.support.places import ROOT
from tests.support.segmentations import ALL, PLAIN, run
from tests.support.segmenters import NONE, make_plan, save_segmenter

REAL = os.environ.get("SEGPIPE_REAL_DATA")

SCAN = np.random.default_rng(1).integers(-500, 900, (16, 18, 20)).astype(np.int16)


def thick(header: Dataset, number: int) -> None:
    """A thickness that contradicts the positions, which gives a warning."""
    header.SliceThickness = 9.0


def another_series(header: Dataset, number: int) -> None:
    header.SeriesInstanceUID = UID("1.2.826.0.1.3680043.10.99.8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_segmenter(tmp_path_factory.mktemp("m") / "segmenter", make_plan())


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_label_map_comes_in_the_inputs_format_on_its_grid(
    model: Path, tmp_path: Path, ending: str
) -> None:
    grid = write_volume(tmp_path / "in" / "deep" / f"a{ending}")

    summary = run(model, [tmp_path / "in"], tmp_path / "out")

    label = formats.read_label(tmp_path / "out" / "deep" / f"a{ending}")
    assert summary.done == ("deep/a",)
    assert label.grid.matches(grid, tolerance=1e-4)
    assert set(np.unique(label.array)) <= {0, 3, 7}


def test_the_manifest_says_where_a_mask_came_from(model: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")

    run(model, [tmp_path / "a.nii.gz"], tmp_path / "out", ALL)

    manifest = Manifest.read(tmp_path / "out" / "a.json")
    label = formats.read_label(tmp_path / "out" / "a.nii.gz")
    assert manifest.inputs[0].name == "a.nii.gz"
    assert (
        manifest.segmenter.digest
        == load_segmenter(str(model), Paths(tmp_path))[1].digest
    )
    assert manifest.orientation == "RAS"
    assert manifest.voxels == {
        "liver": int((label.array == 3).sum()),
        "left kidney": int((label.array == 7).sum()),
    }
    assert manifest.volumes_ml["liver"] == pytest.approx(
        manifest.voxels["liver"] / 1000
    )
    assert set(manifest.outputs) == {
        "a.nii.gz",
        "a_probability_liver.nii.gz",
        "a_probability_left-kidney.nii.gz",
        "a_entropy.nii.gz",
        "a_disagreement.nii.gz",
        "a_instances.nii.gz",
        "a_overlay.png",
    }
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {*manifest.outputs, "a.json", "volumes.csv"}
    assert {"read", "prepare", "network", "blend", "write"} <= set(manifest.seconds)
    with (tmp_path / "out" / "volumes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == ["liver", "left kidney"]


def test_probabilities_are_those_that_the_labels_won_by(
    model: Path, tmp_path: Path
) -> None:
    write_volume(tmp_path / "a.nii")
    run(model, [tmp_path / "a.nii"], tmp_path / "out", ALL)

    read = {
        name: nib.load(tmp_path / "out" / f"a_{name}.nii.gz").get_fdata()
        for name in ("probability_liver", "probability_left-kidney", "entropy")
    }
    liver, kidney = read["probability_liver"], read["probability_left-kidney"]
    classes = np.stack([1 - liver - kidney, liver, kidney])
    entropy = -(classes * np.log(np.maximum(classes, 1e-30))).sum(0) / np.log(3)
    label = nib.load(tmp_path / "out" / "a.nii").get_fdata()
    top = np.sort(classes, axis=0)
    clear = top[2] - top[1] > 1e-4
    np.testing.assert_array_equal(
        np.array([0, 3, 7])[classes.argmax(0)][clear], label[clear]
    )
    np.testing.assert_allclose(read["entropy"], entropy, atol=1e-4)


def test_finished_cases_are_skipped_unless_something_changed(
    model: Path, tmp_path: Path
) -> None:
    for name in "ab":
        write_volume(tmp_path / "in" / f"{name}.nii.gz", seed=ord(name))
    first = run(model, [tmp_path / "in"], tmp_path / "out")
    again = run(model, [tmp_path / "in"], tmp_path / "out")
    (tmp_path / "out" / "a.nii.gz").write_bytes(b"damaged")
    write_volume(tmp_path / "in" / "b.nii.gz", seed=3)
    third = run(model, [tmp_path / "in"], tmp_path / "out")
    forced = run(model, [tmp_path / "in"], tmp_path / "out", force=True)
    other = run(model, [tmp_path / "in"], tmp_path / "out", ALL)

    assert (first.done, first.skipped) == (("a", "b"), ())
    assert (again.done, again.skipped) == ((), ("a", "b"))
    assert third.done == ("a", "b")
    assert forced.done == ("a", "b")
    assert other.done == ("a", "b")


def test_a_failing_case_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "in" / "a.nii.gz")
    write_volume(tmp_path / "in" / "c.nii.gz", shape=(16, 18, 1))
    whole = (tmp_path / "in" / "a.nii.gz").read_bytes()
    (tmp_path / "in" / "b.nii.gz").write_bytes(whole[: len(whole) // 2])

    summary = run(model, [tmp_path / "in"], tmp_path / "out")

    assert summary.done == ("a",)
    assert "expected a whole gzip file" in summary.failed["b"]
    assert "expected a volume" in summary.failed["c"]
    assert "2 failed" in summary.lines()[0]
    assert not list((tmp_path / "out").glob(".*"))
    assert not (tmp_path / "out" / "b.json").exists()


def test_each_case_has_a_line_and_a_row_with_what_was_found(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Volumes and instances are counted anew from the files, by scipy."""
    write_volume(tmp_path / "in" / "a.nii.gz", shape=(50, 18, 20))
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"")
    settings = PLAIN.model_copy(update={"instances": True})

    with caplog.at_level("INFO"):
        summary = run(model, [tmp_path / "in"], tmp_path / "out", settings)
    again = run(model, [tmp_path / "in"], tmp_path / "out", settings)

    label = np.asarray(nib.load(tmp_path / "out" / "a.nii.gz").dataobj)
    words = {}
    for name, value in {"liver": 3, "left kidney": 7}.items():
        count = ndimage.label(label == value, np.ones((3, 3, 3)))[1]
        words[name] = (
            f"{(label == value).sum() / 1000:.3g} ml in {count} instance"
            + "s" * (count > 1)
        )
    manifest = Manifest.read(tmp_path / "out" / "a.json")
    (line,) = [text for text in caplog.messages if text.startswith("1 of 2  a: ")]
    assert ", ".join(f"{name} {found}" for name, found in words.items()) in line
    assert "0:00:0" in line.split("about")[1]
    assert "2 of 2  b failed: " in caplog.text
    assert manifest.warnings
    for warning in manifest.warnings:  # each stands there before the line of its case
        assert f"a: {warning}" in caplog.messages[: caplog.messages.index(line)]
    row, failed = summary.rows
    assert {name: row[name] for name in words} == words
    assert row["warnings, or why it failed"] == "; ".join(manifest.warnings)
    assert "found 0 bytes" in failed["warnings, or why it failed"]
    assert summary.lines()[2].split()[:2] == ["case", "liver"]
    assert again.rows[0]["liver"] == words["liver"]
    assert again.rows[0]["warnings, or why it failed"].startswith("finished before; ")


def test_of_many_structures_a_line_shows_some_and_a_row_how_many(
    tmp_path: Path,
) -> None:
    names = [f"s{number}" for number in range(40)]
    outcome = Outcome(case="a", kind="done", seconds=2.0)
    write_volume(tmp_path / "a.nii")
    made = save_segmenter(tmp_path / "m", make_plan())
    run(made, [tmp_path / "a.nii"], tmp_path / "out")
    known = Manifest.read(tmp_path / "out" / "a.json")
    voxels = {name: number for number, name in enumerate(names)}
    many = known.model_copy(update={"voxels": voxels, "volumes_ml": {}})
    many.write(tmp_path / "out" / "a.json")

    line = describe_outcome(outcome, tmp_path / "out")
    row = build_row(outcome, tmp_path / "out", names)

    assert "s1 1 px, s2 2 px" in line
    assert "and 33 structures more" in line
    assert row["structures"] == "39 of 40"
    assert len(line) < 200


def test_an_input_unlike_the_training_is_segmented_with_a_warning(
    model: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(40, 1, size=(50, 18, 20))
    grid = Grid.from_spacing((50, 18, 20), (1.0, 1.0, 3.0), "mm")
    nifti.write_image(tmp_path / "a.nii", noise.astype(np.float32), grid)

    run(model, [tmp_path / "a.nii"], tmp_path / "out")

    said = " ".join(Manifest.read(tmp_path / "out" / "a.json").warnings)
    assert "spacing along S, 3 mm" in said
    assert "extent along R, 50 mm" in said
    assert "MR: the median of what was found" in said


def test_pictures_of_several_kinds_are_segmented_as_pictures(tmp_path: Path) -> None:
    plan = make_plan(dimensions=2, unit="px", shape=(32, 48, 1), normalization=(NONE,))
    model = save_segmenter(
        tmp_path / "m", plan, network="unet2d", patch_size=(32, 48, 1)
    )
    grey = np.random.default_rng(0).integers(0, 255, (1, 32, 48, 1)).astype(np.uint8)
    raster.write_image(tmp_path / "in" / "a.png", grey)
    raster.write_image(tmp_path / "in" / "b.tif", np.concatenate([grey] * 3))
    opaque = np.concatenate([grey, grey, grey, np.full_like(grey, 255)])
    raster.write_image(tmp_path / "in" / "c.png", opaque)
    coloured = np.concatenate([grey, grey, 255 - grey])
    raster.write_image(tmp_path / "in" / "d.png", coloured)

    summary = run(model, [tmp_path / "in"], tmp_path / "out", ALL)

    a, b, c = (
        formats.read_label(tmp_path / "out" / name).array
        for name in ("a.png", "b.tif", "c.png")
    )
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    luma = np.asarray(Image.fromarray(coloured[..., 0].transpose(2, 1, 0)).convert("L"))
    raster.write_image(tmp_path / "luma.png", luma.T[np.newaxis, ..., np.newaxis])
    run(model, [tmp_path / "luma.png"], tmp_path / "out", ALL)
    d, e = (
        formats.read_label(tmp_path / "out" / name).array
        for name in ("d.png", "luma.png")
    )
    np.testing.assert_array_equal(d, e)
    assert not summary.failed
    said = Manifest.read(tmp_path / "out" / "c.json").warnings
    assert "the alpha channel, alike everywhere, was left out" in said
    assert Manifest.read(tmp_path / "out" / "a.json").volumes_ml == {}


def test_channels_are_joined_by_their_numbers(tmp_path: Path) -> None:
    model = save_segmenter(tmp_path / "m", make_plan(channels=("T1", "T2")))
    for name in ("a_0000", "a_0001", "b_0000", "c_0000", "c_0002", "d_0000"):
        write_volume(tmp_path / "in" / f"{name}.nii.gz", seed=len(name))
    write_volume(tmp_path / "in" / "d_0001.nii.gz", shape=(16, 18, 22))

    summary = run(model, [tmp_path / "in"], tmp_path / "out")

    assert summary.done == ("a",)
    assert "expected 2 channels (T1, T2), found 1" in summary.failed["b"]
    assert "expected the channels 0000, 0001, found 0000, 0002" in summary.failed["c"]
    assert "expected the grid of d_0000.nii.gz" in summary.failed["d"]


def test_a_dicom_series_becomes_a_dicom_seg_and_names_no_patient(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder may be named after a patient: its name must not come out either."""
    write_series(tmp_path / "in" / "QUIETMAN^OSWALD", voxels=SCAN, change=thick)
    other = tmp_path / "in" / "MRN-55021"
    write_series(other, voxels=SCAN, change=another_series)
    sorted(other.iterdir())[9].unlink()

    summary = run(model, [tmp_path / "in"], tmp_path / "out", ALL)

    assert (len(summary.done), len(summary.failed)) == (1, 1)
    said = json.dumps(summary.lines()) + caplog.text
    assert "missing" in said
    warnings = Manifest.read(tmp_path / "out" / f"{summary.done[0]}.json").warnings
    assert any("SliceThickness is 9 mm" in words for words in warnings)
    for path in (tmp_path / "out").iterdir():
        said += path.name
        if path.suffix in (".json", ".csv"):
            said += path.read_text()
    assert not [secret for secret in SECRETS if secret.lower() in said.lower()]
    series = dicom.read_series(dicom.find_series((tmp_path / "in").glob("QUI*/*"))[0])
    seg = read_seg(tmp_path / "out" / f"{summary.done[0]}.dcm", series)
    manifest = Manifest.read(tmp_path / "out" / f"{summary.done[0]}.json")
    assert seg.label.grid.matches(series.image.grid, tolerance=1e-4)
    assert {
        name: int((seg.label.array == value).sum())
        for name, value in seg.structures.items()
    } == manifest.voxels


def test_a_series_of_several_volumes_stops_no_other_series(
    model: Path, tmp_path: Path
) -> None:
    """Two objects are one volume, rounded positions, too; echoes are two volumes."""

    def rounded(header: Dataset, k: int) -> None:
        header.SeriesInstanceUID = UID("1.2.826.0.1.3680043.10.99.7")
        header.ImagePositionPatient = [-90.5, 126.2, f"{k * 1.25 + 0.01:.1f}"]

    def first(header: Dataset, k: int) -> None:
        another_series(header, k)
        header.EchoTime = 5

    def second(header: Dataset, k: int) -> None:
        another_series(header, k)
        header.EchoTime = 10

    folder = tmp_path / "in"
    write_objects(folder / "objects", SCAN, parts=2)
    write_series(folder / "rounded", voxels=SCAN, change=rounded)
    for name, change in {"first": first, "second": second}.items():
        write_series(folder / "echoes", voxels=SCAN, change=change, stem=name)

    summary = run(model, [folder], tmp_path / "out")

    assert len(summary.done) == 2
    (reason,) = summary.failed.values()
    assert "their EchoTime is 10.0 or 5.0" in reason


def test_nothing_to_segment_is_said(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.md").write_text("none")

    with pytest.raises(DataError, match="expected images, found none"):
        run(model, [tmp_path / "in"], tmp_path / "out")
    with pytest.raises(DataError, match="expected a file or a folder"):
        run(model, [tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(DataError, match="expected a segmenter"):
        run(tmp_path / "in", [tmp_path / "in"], tmp_path / "out")


# Garbage that waits for its turn is no leak; without it every leak is seen at once.
WATCH = """
import gc, sys
from pathlib import Path
from tests.support.segmentations import ALL, run
def resident():
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
model, folder = Path(sys.argv[1]), Path(sys.argv[2])
files = sorted((folder / "in").iterdir())
for begin in range(0, len(files), 4):
    run(model, files[begin : begin + 4], folder / "out", ALL)
    print(resident())
"""


@pytest.mark.slow
def test_the_memory_stays_flat_over_many_volumes(model: Path, tmp_path: Path) -> None:
    """Less than half a megabyte a volume, each segmented with all outputs."""
    for number in range(16):
        write_volume(tmp_path / "in" / f"{number:02d}.nii.gz", seed=number)
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(model), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )

    resident_mb = [float(word) for word in done.stdout.split()]
    assert len(list((tmp_path / "out").glob("*.json"))) == 16
    assert len(resident_mb) == 4
    assert max(resident_mb) - resident_mb[0] < 6, resident_mb


def test_the_command_exits_with_1_and_a_table(model: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "segpipe", "segment", str(model)),
            *(str(tmp_path / "in"), "--output", str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "1 segmented, 1 failed:"
    assert "found 0 bytes" in done.stdout
    assert "on cpu" in done.stderr


@pytest.mark.skipif(
    REAL is None, reason="the volume lies where SEGPIPE_REAL_DATA says, which is unset"
)
def test_a_whole_head_of_two_contrasts_is_segmented(tmp_path: Path) -> None:
    folder = Path(REAL or "") / "3d_ms_lesion" / "images"
    files = sorted(folder.iterdir())[:2]
    for number, file in enumerate(files):
        (tmp_path / f"head_{number:04d}.nii.gz").symlink_to(file)
    plan = make_plan(channels=("FLAIR", "T1"), shape=(182, 218, 182))
    model = save_segmenter(tmp_path / "m", plan, patch_size=(64, 64, 64))
    inputs = sorted(tmp_path.glob("head_*"))

    summary = run(model, inputs, tmp_path / "out")

    image = nifti.read_image(inputs[0])
    label = formats.read_label(tmp_path / "out" / "head.nii.gz")
    assert summary.done == ("head",)
    assert label.grid.matches(image.grid, tolerance=1e-3)
    assert label.array.shape == (182, 218, 182)
