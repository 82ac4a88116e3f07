import json

import numpy as np
import pytest
import torch

from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.images.volume import Image, ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.rules.postprocessing import NOTHING, StructureRule, apply_rules
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.segmenters import segmenter_of_noise

LARGEST = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=False)
CT = Normalization(kind="ct", low=-20, high=120, mean=50, standard_deviation=30)
COMPUTE = Compute(torch.device("cpu"), "fp32", 2)
INFERENCE = Inference(0.5, "gaussian", 0.001, False, COMPUTE)


def test_a_saved_segmenter_segments_alike(tmp_path) -> None:
    made = segmenter_of_noise()
    image = Image(
        np.random.default_rng(0).random((1, 20, 18, 22)).astype(np.float32),
        Grid.from_spacing((20, 18, 22), (1.0, 1.0, 1.0), "mm"),
    )

    made.save(tmp_path / "a")
    made.save(tmp_path / "b")
    read = Segmenter.load(tmp_path / "a")

    assert segmenter_digest(tmp_path / "a") == segmenter_digest(tmp_path / "b")
    before, after = made.segment(image, INFERENCE), read.segment(image, INFERENCE)
    np.testing.assert_array_equal(before.array, after.array)
    assert set(np.unique(before.array)) <= {0, 7}


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_2d_network_segments_a_volume_slice_by_slice(slice_axis: int) -> None:
    """A slice alone gets the same labels as within the volume."""
    patch_size = tuple(1 if axis == slice_axis else 16 for axis in range(3))
    made = segmenter_of_noise(network="unet2d", patch_size=patch_size)
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)
    grid = Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm")
    one = np.take(array, [5], axis=1 + slice_axis)
    flat = Grid.from_spacing(one.shape[1:], (1.0, 1.0, 1.0), "mm")

    whole = made.segment(Image(array, grid), INFERENCE).array
    alone = made.segment(Image(one, flat), INFERENCE).array

    np.testing.assert_array_equal(np.take(whole, [5], axis=slice_axis), alone)


def test_a_label_map_lies_on_the_images_own_grid() -> None:
    """The same places get the same labels, however the image is stored."""
    made = segmenter_of_noise()
    array = np.random.default_rng(0).random((1, 16, 24, 16)).astype(np.float32)
    straight = Grid.from_spacing((16, 24, 16), (1.0, 1.0, 1.0), "mm")
    expected = made.segment(Image(array, straight), INFERENCE).array
    turned = np.diag([0.0, 0.0, 0.0, 1.0])
    turned[0, 1], turned[1, 2], turned[2, 0] = -1, 1, -1  # i -> -S, j -> -R, k -> A
    grid = Grid((16, 16, 24), turned, "mm")
    stored = np.flip(array.transpose(0, 3, 1, 2), (1, 2))

    result = made.segment(Image(np.ascontiguousarray(stored), grid), INFERENCE)

    assert result.grid is grid
    np.testing.assert_array_equal(
        result.array, np.flip(expected.transpose(2, 0, 1), (0, 1))
    )


def test_what_does_not_fit_is_refused_with_its_name(tmp_path) -> None:
    made = segmenter_of_noise()
    made.save(tmp_path / "a")
    segmenter_of_noise(values=(0, 7, 9)).save(tmp_path / "b")
    two_channels = Image(
        np.zeros((2, 4, 4, 4), dtype=np.float32),
        Grid.from_spacing((4, 4, 4), (1.0, 1.0, 1.0), "mm"),
    )

    with pytest.raises(DataError, match="expected 1 channels"):
        made.segment(two_channels, INFERENCE)
    with pytest.raises(DataError, match="so that all folds share them"):
        Segmenter.ensemble([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a" / "weights-0.safetensors").unlink()
    with pytest.raises(DataError, match="complete folder of a segmenter"):
        Segmenter.load(tmp_path / "a")
    with pytest.raises(DataError, match=r"spec\.json"):
        Segmenter.load(tmp_path / "nowhere")


def with_rules(made: Segmenter, *rules: StructureRule) -> Segmenter:
    spec = made.spec.model_copy(update={"postprocessing": rules})
    return Segmenter(spec, made.networks)


def test_rules_are_applied_to_the_whole_label_map_on_its_own_grid() -> None:
    """Voxels have 2 mm³ in the image and 1 mm³ on the prepared grid."""
    array = np.random.default_rng(0).random((1, 16, 18, 22)).astype(np.float32)
    image = Image(array, Grid.from_spacing((16, 18, 22), (1.0, 1.0, 2.0), "mm"))
    plain = segmenter_of_noise(values=(0, 7, 9), seed=4)

    def sizes(made: Segmenter) -> list[int]:
        label = made.segment(image, INFERENCE).array
        found = components(label == 7, connectivity="all")
        return sorted(np.bincount(found[found > 0])[1:].tolist())

    before = sizes(plain)
    assert before[0] < 10 <= before[-2]
    below_20_mm3 = NOTHING.model_copy(update={"smallest_mm3": 20.0})
    assert sizes(with_rules(plain, LARGEST, NOTHING)) == before[-1:]
    assert sizes(with_rules(plain, NOTHING, LARGEST)) == before
    assert sizes(with_rules(plain, below_20_mm3, NOTHING)) == [
        size for size in before if size >= 10
    ]


def test_slabs_are_left_to_whoever_collects_them() -> None:
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)
    image = Image(array, Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm"))
    plain = segmenter_of_noise()
    tidy = with_rules(plain, LARGEST)

    slabs = [slab.labels for slab in tidy.slabs(ImageStream.of(image), INFERENCE)]
    whole = np.concatenate(slabs, axis=2)

    np.testing.assert_array_equal(whole, plain.segment(image, INFERENCE).array)
    np.testing.assert_array_equal(
        apply_rules(whole, tidy.spec.rules, voxel_volume=1.0),
        tidy.segment(image, INFERENCE).array,
    )


def test_an_ensemble_keeps_the_rules_that_all_folds_chose(tmp_path) -> None:
    both = LARGEST.model_copy(update={"fill_holes": True})
    for fold, rule in enumerate((both, LARGEST)):
        with_rules(segmenter_of_noise(seed=fold), rule).save(tmp_path / str(fold))
    segmenter_of_noise(seed=2).save(tmp_path / "2")

    two, three = (
        Segmenter.ensemble([tmp_path / str(fold) for fold in range(n)]) for n in (2, 3)
    )
    alone = Segmenter.ensemble([tmp_path / "0"])

    assert two.spec.rules == {7: LARGEST}
    assert three.spec.rules == {}
    assert alone.spec.rules == {7: both}


def test_a_segmenter_from_before_there_were_rules_has_none(tmp_path) -> None:
    with_rules(segmenter_of_noise(), NOTHING).save(tmp_path)
    document = json.loads((tmp_path / "spec.json").read_text())
    del document["postprocessing"]
    (tmp_path / "spec.json").write_text(json.dumps(document))

    assert Segmenter.load(tmp_path).spec.rules == {}
