"""Grey and RGB pictures in one set: every place that counts channels takes both."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case
from segpipe.images.formats import raster
from segpipe.images.formats.colours import luma
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.provenance import FILE, Provenance
from segpipe.registry.mlflow_model.serving import (
    RegisteredSegmenter,
    build_signature,
    default_inference,
    takes_other_colours,
)
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.segmenter.spec import ensemble_digest, segmenter_digest
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from tests.support.projects import VERIFY, changed
from tests.support.segmentations import PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter

RGB = ("red", "green", "blue")
SHAPE = (24, 20, 1)


def pictures(channels: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (channels, *SHAPE))
    return values.astype(np.uint8)


def write_source(folder: Path, counts: dict[str, int]) -> Path:
    """A pair of folders with pictures of these numbers of channels, by name."""
    for number, (name, count) in enumerate(counts.items()):
        for kind, array in (("scans", pictures(count, number)), ("masks", None)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            drawn = np.zeros(SHAPE, np.uint8)
            drawn[4:9, 3:8] = 1
            if array is None:
                raster.write_label(folder / kind / f"{name}.png", drawn)
            else:
                raster.write_image(folder / kind / f"{name}.png", array)
    return folder


def verified(root: Path) -> dict[str, np.ndarray]:
    """The images of a project's cases as every stage reads them."""
    paths = Paths(root)
    verify.run(changed(VERIFY, workers=1), networks={"m": 2}, paths=paths)
    cases = read_cases(paths.artifacts)
    return {case.name: read_case(paths.data, cases, case).array for case in cases.cases}


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_a_mixed_source_is_imported_in_colours_whichever_comes_first(
    tmp_path: Path, first: str
) -> None:
    counts = {"a": 1, "b": 3} if first == "grey" else {"a": 3, "b": 1}
    source = write_source(tmp_path / "source", counts)
    pair = ImportOptions(images="scans", labels="masks")

    import_dataset(source, tmp_path / "data", pair)

    found = verified(tmp_path)
    for number, (name, count) in enumerate(counts.items()):
        expected = np.broadcast_to(pictures(count, number), (3, *SHAPE))
        np.testing.assert_array_equal(found[name], expected)


def test_a_mixed_source_is_imported_in_grey_if_told(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", {"a": 1, "b": 3})
    pair = ImportOptions(images="scans", labels="masks", grey=True)

    import_dataset(source, tmp_path / "data", pair)

    found = verified(tmp_path)
    np.testing.assert_array_equal(found["a"], pictures(1, 0))
    np.testing.assert_array_equal(found["b"], luma(pictures(3, 1).astype(np.float32)))


@pytest.mark.parametrize("own", [1, 3])
def test_cases_of_the_other_kind_join_a_data_set(tmp_path: Path, own: int) -> None:
    """As the inbox of `retrain` adds them."""
    pair = ImportOptions(images="scans", labels="masks")
    first = write_source(tmp_path / "first", {"a": own, "b": own})
    import_dataset(first, tmp_path / "data", pair)
    second = write_source(tmp_path / "second", {"c": 4 - own})

    more = ImportOptions(images="scans", labels="masks", add=True)
    import_dataset(second, tmp_path / "data", more)

    other = pictures(4 - own, 0)
    expected = other.repeat(3, axis=0) if own == 3 else luma(other.astype(np.float32))
    np.testing.assert_array_equal(verified(tmp_path)["c"], expected)


@pytest.mark.parametrize("own", [1, 3])
def test_files_of_the_other_kind_in_data_are_converted_and_it_is_said(
    tmp_path: Path, own: int
) -> None:
    source = write_source(tmp_path / "source", {"a": own, "b": own})
    pair = ImportOptions(images="scans", labels="masks")
    import_dataset(source, tmp_path / "data", pair)
    other = pictures(4 - own, 7)
    raster.write_image(tmp_path / "data" / "imagesTr" / "a_0000.png", other)

    found = verified(tmp_path)["a"]

    expected = other.repeat(3, axis=0) if own == 3 else luma(other.astype(np.float32))
    np.testing.assert_array_equal(found, expected)
    (words,) = read_cases(tmp_path / "artifacts")["a"].warnings
    assert "became" in words


def test_contrasts_are_no_colours_and_the_mend_says_so(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", {"a": 3, "b": 3})
    pair = ImportOptions(images="scans", labels="masks")
    import_dataset(source, tmp_path / "data", pair)
    about = tmp_path / "data" / "dataset.json"
    document = json.loads(about.read_text())
    document["channel_names"] = {"0": "T1", "1": "T2", "2": "FLAIR"}
    about.write_text(json.dumps(document))
    raster.write_image(tmp_path / "data/imagesTr/a_0000.png", pictures(1, 7))

    with pytest.raises(DataError, match=r"found 1.*named red, green and blue"):
        verified(tmp_path)


@pytest.mark.parametrize("channels", [("intensity",), RGB])
def test_a_segmenter_takes_both_kinds_as_files_and_served(
    tmp_path: Path, channels: tuple[str, ...]
) -> None:
    plan = make_plan(dimensions=2, unit="px", shape=SHAPE, channels=channels)
    folder = save_segmenter(
        tmp_path / "m", plan, network="unet2d", patch_size=(16, 16, 1)
    )
    other = pictures(4 - len(channels), 3)
    raster.write_image(tmp_path / "in" / "a.png", other)

    summary = run(folder, [tmp_path / "in"], tmp_path / "out", PLAIN)

    assert summary.done == ("a",)
    made, values = Segmenter.load(folder), other.astype(np.float32)
    image = values.repeat(3, axis=0) if len(channels) == 3 else luma(values)
    grid = raster.read_image(tmp_path / "in" / "a.png").grid
    expected = made.segment(Image(image, grid), build_inference(PLAIN)).array
    found = raster.read_label(tmp_path / "out" / "a.png").array
    np.testing.assert_array_equal(found, expected)
    said = json.loads((tmp_path / "out" / "a.json").read_text())["warnings"]
    assert any("became" in words for words in said)
    assert takes_other_colours(made.spec)
    assert build_signature(made.spec).inputs.inputs[0].shape[1] == -1
    served = serve(tmp_path / "served", folder)
    params = {"affine": grid.affine.ravel().tolist()}
    expected = made.segment(Image(image, grid), default_inference()).array
    answer = served.predict(None, values[None], params)[0]
    np.testing.assert_array_equal(answer, expected)


def serve(goal: Path, folder: Path) -> RegisteredSegmenter:
    """The segmenter of a folder as a registered model runs it."""
    shutil.copytree(folder, goal / "0")
    Provenance(
        format_version=1,
        model="m",
        digest=ensemble_digest([segmenter_digest(goal / "0")]),
        patients=(),
        data=None,
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
    ).write(goal / FILE)
    model = RegisteredSegmenter()
    model.load_context(context=SimpleNamespace(artifacts={"segmenter": str(goal)}))
    return model
