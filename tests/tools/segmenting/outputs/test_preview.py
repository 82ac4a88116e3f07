import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.values import Legend
from segpipe.images.volume import Image, ImageStream
from segpipe.tools.segmenting.outputs.preview import Profile, build_preview

LABEL = np.zeros((12, 10, 40), dtype=np.int16)
LABEL[2:5, 6:8, 30:35] = 7
LABEL[2:4, 6:8, 33] = 9
BRIGHT = np.where(LABEL == 7, 100.0, 1.0).astype(np.float32)[None]


def profile(array: np.ndarray, each: int = 7) -> Profile:
    result = Profile(array.shape)
    for start in range(0, array.shape[2], each):
        result.add(array[..., start : start + each])
    return result


def legend(*values: int) -> Legend:
    return Legend(tuple(f"s{value}" for value in values), values, None)


def preview(affine: np.ndarray):
    source = ImageStream.of(Image(BRIGHT, Grid(LABEL.shape, affine, "mm")))
    cuts = range(0, 40, 11)
    return build_preview(
        source,
        lambda: (LABEL[..., start : start + 11] for start in cuts),
        profile(LABEL),
        legend(0, 7, 9),
        name="m",
    )


def test_the_fullest_planes_are_found_slice_by_slice() -> None:
    found = profile(LABEL)

    assert found.voxels == (LABEL != 0).sum()
    assert found.fullest == (2, 6, 30)
    assert profile(np.zeros_like(LABEL)).fullest == (6, 5, 20)


def test_each_plane_shows_image_and_classes_of_the_same_place() -> None:
    made = preview(np.diag([1.0, 1.0, 2.0, 1.0]))

    views = {view.name: view for view in made.views}
    axial = views["axial"]
    found = {name: view.predictions["m"][0] for name, view in views.items()}
    assert axial.image[0].shape == found["axial"].shape == (10, 12)
    at_30 = LABEL[:, :, 30] == 7
    np.testing.assert_array_equal(found["axial"], at_30[::-1, ::-1].T)
    assert axial.words(0) == "slice 31 of 40 (k = 30)"
    assert set(np.unique(found["sagittal"])) == {0, 1, 2}
    assert views["sagittal"].aspect == pytest.approx(2.0)
    for name, view in views.items():
        assert (view.image[0][found[name] == 1] == 100).all()
        assert view.reference is None
        assert view.window == axial.window
    assert made.medians == [100.0]


def test_however_it_is_stored_the_patient_looks_the_same() -> None:
    """With two axes reversed, the same voxels lie at other places of the body."""
    straight = preview(np.diag([1.0, 1.0, 2.0, 1.0])).views
    turned = preview(np.diag([-1.0, -1.0, 2.0, 1.0])).views

    np.testing.assert_array_equal(
        straight[0].predictions["m"], turned[0].predictions["m"][:, ::-1, ::-1]
    )


def test_a_picture_has_one_view() -> None:
    label = np.zeros((6, 4, 1), dtype=np.int16)
    label[1, 2] = 3
    grid = Grid.from_spacing((6, 4, 1), (1.0, 1.0, 1.0), "px")
    source = ImageStream.of(Image(label[None].astype(np.float32), grid))

    made = build_preview(
        source, lambda: [label], profile(label), legend(0, 3), name="m"
    )

    assert len(made.views) == 1
    np.testing.assert_array_equal(
        made.views[0].predictions["m"][0], label[..., 0].T // 3
    )
