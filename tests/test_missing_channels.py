"""A case may lack a channel where params allow it: it is zeros, and it is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.prepared import prepared_case
from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import read_image, read_label, write_image
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import read_plan
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    report,
    split,
    verify,
    weigh,
)
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.training.record import segmenter_folder
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PATIENTS,
    PLAN,
    PREDICT,
    PREPROCESS,
    SPLIT,
    TRAIN,
    VERIFY,
    WEIGH,
    changed,
    one_thread,
    train,
)
from tests.support.segmentations import PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter

LACKING = {0: 1, 3: 0, 4: 1, 7: 0}  # case to the number of the channel that it lacks
NAMES = ("T1", "T2")
PARAMS = changed(
    TRAIN, base_channels=2, border_weights=False, epochs=1, steps_per_epoch=3
)


def write(data: Path) -> None:
    """Two channels, of which some cases lack the one or the other."""
    write_dataset(data, cases=10, patients=PATIENTS)
    about = json.loads((data / "dataset.json").read_text())
    about["channel_names"] = {str(n): name for n, name in enumerate(NAMES)}
    (data / "dataset.json").write_text(json.dumps(about))
    for number in range(10):
        first = data / "imagesTr" / f"case_{number:02d}_0000.nii"
        image = read_image(first)
        second = first.with_name(first.name.replace("_0000", "_0001"))
        write_image(second, 255 - image.array[0], image.grid)
        if number in LACKING:
            (first, second)[LACKING[number]].unlink()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A project whose cases may lack channels, from verify to the report."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    write(paths.data)
    verified = changed(VERIFY, missing_channels="zeros")
    verify.run(verified, networks={"m": 3}, paths=paths)
    split.run(SPLIT, paths=paths)
    plan.run(PLAN, models={"m": PARAMS}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(WEIGH, paths=paths)
    train(paths, PARAMS, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    shown = report.ReportParams(overlays=True)
    report.run(shown, models=["m"], folds=[0], paths=paths)
    return paths


def test_without_leave_it_is_refused_with_the_key_that_gives_it(
    paths: Paths, tmp_path: Path
) -> None:
    """The fixture has the same data and the key set."""
    write(tmp_path / "data")

    with pytest.raises(DataError) as caught:
        verify.run(VERIFY, networks={"m": 3}, paths=Paths(tmp_path))

    said = str(caught.value)
    assert said.count("set verify.missing_channels: zeros in params.yaml") == 4
    assert "found imagesTr/case_00_0000.nii" in said
    assert read_cases(paths.artifacts).missing_channels == "zeros"


def test_cases_say_what_they_lack_and_it_is_zero_in_training(paths: Paths) -> None:
    cases, shown = read_cases(paths.artifacts), set()
    test = read_split(paths.artifacts).test  # of which nothing is prepared
    for number in range(10):
        case = cases[f"case_{number:02d}"]
        lacks = LACKING.get(number)
        assert case.missing == (() if lacks is None else (lacks,))
        assert len(case.images) == 2 - len(case.missing)
        if case.name not in test:
            image = np.asarray(prepared_case(paths.artifacts, case.name).image)
            shown.add(lacks)
            for channel in range(2):
                assert image[channel].any() == (channel != lacks)
        if lacks is not None:
            assert f"no {NAMES[lacks]}: zeros after normalization" in case.warnings
    assert shown > {None}
    profile = read_plan(paths.artifacts).profile
    assert np.isfinite(profile.intensities).all()


def test_a_study_without_a_channel_is_segmented_with_zeros_and_a_warning(
    paths: Paths, tmp_path: Path
) -> None:
    """The same voxels as another channel have another key and another mask."""
    folder = segmenter_folder(paths.artifacts / "train/m/0")
    source = read_image(paths.data / "imagesTr/case_01_0000.nii")
    for name in ("a_0000.nii", "a_0001.nii", "b_0001.nii", "c_0000.nii"):
        write_image(tmp_path / "in" / name, source.array[0], source.grid)
    settings = PLAIN.model_copy(update={"overlay": True})

    summary = run(folder, [tmp_path / "in"], tmp_path / "out", settings)

    assert summary.done == ("a", "b", "c")
    made, keys = Segmenter.load(folder), set()
    nothing = np.full_like(source.array, np.nan)
    pairs = {
        "a": (source.array, source.array),
        "b": (nothing, source.array),
        "c": (source.array, nothing),
    }
    for name, channels in pairs.items():
        manifest = Manifest.read(tmp_path / "out" / f"{name}.json")
        image = Image(np.concatenate(channels), source.grid)
        expected = made.segment(image, build_inference(settings))
        found = read_label(tmp_path / "out" / f"{name}.nii").array
        assert (found == expected.array).all()
        lacks = {"a": None, "b": "T1", "c": "T2"}[name]
        said = f"no file of {lacks} was given: zeros took its place after normalization"
        assert (said in manifest.warnings) == (lacks is not None)
        keys.add(manifest.key)
    assert len(keys) == 3
    assert run(folder, [tmp_path / "in"], tmp_path / "out", settings).done == ()


def test_other_segmenters_refuse_such_a_study(tmp_path: Path) -> None:
    folder = save_segmenter(tmp_path / "m", make_plan(channels=NAMES))
    source = np.random.default_rng(0).random((16, 18, 20)).astype(np.float32)
    grid = Grid.from_spacing(source.shape, (1.0, 1.0, 1.0), "mm")
    write_image(tmp_path / "in" / "a_0000.nii", source, grid)
    write_image(tmp_path / "in" / "b_0001.nii", source, grid)

    failed = run(folder, [tmp_path / "in"], tmp_path / "out").failed

    assert "expected 2 channels (T1, T2), found 1" in failed["a"]
    assert "trained with verify.missing_channels: zeros" in failed["a"]
    assert "expected the channels 0000, found 0001" in failed["b"]


def test_what_does_not_go_with_it_is_refused(paths: Paths) -> None:
    found = read_plan(paths.artifacts)
    matched = PARAMS.augmentation.model_copy(update={"histogram_matching": 0.5})
    with pytest.raises(DataError, match=r"histogram_matching: .* set it to 0"):
        changed(PARAMS, augmentation=matched).network_spec(found)

    PARAMS.network_spec(found)
