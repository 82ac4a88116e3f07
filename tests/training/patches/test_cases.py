"""A training case is read from disk with its places and quantiles."""

from functools import partial

import numpy as np
import pytest

from segpipe.dataset.prepared import (
    prepared_case,
    save_known_label,
    weighed_case,
)
from segpipe.images.region import Region
from segpipe.images.values import Legend
from segpipe.training.patches.cases import read_training_case


def test_a_case_is_read_from_disk_with_its_places(tmp_path) -> None:
    label = np.zeros((6, 6, 6), dtype=np.int16)
    label[1, 2, 3] = 1
    label[4, 4, 4] = 2
    known = np.full_like(label, -1)
    known[4] = label[4]
    prepared_case(tmp_path, "a").save_image(label[None].astype(np.float32))
    prepared_case(tmp_path, "a").save_label(label)
    weighed_case(tmp_path, "a").save_maps(
        3, border=label.astype(np.float32), separation=None
    )
    weighed_case(tmp_path, "a").known.save_maps(
        3, border=known.astype(np.float32), separation=known == 0
    )
    (tmp_path / "annotate").mkdir()
    save_known_label(tmp_path / "annotate", "a", known)

    legend = Legend(("background", "one", "two"), (0, 1, 2), None)
    read = partial(
        read_training_case, tmp_path, "a", dimensions=3, seed=0, legend=legend
    )
    dense = read(border=True, sparse=False, balanced=False, matched=False)
    sparse = read(border=False, sparse=True, balanced=True, matched=True)

    assert {k: v.tolist() for k, v in dense.places.items()} == {
        1: [[1, 2, 3]],
        2: [[4, 4, 4]],
    }
    assert {k: len(v) for k, v in sparse.places.items()} == {0: 35, 2: 1}
    assert sparse.label.tolist() == known.tolist()
    assert sparse.separation is not None
    assert dense.separation is None
    assert dense.quantiles is None
    assert sparse.quantiles is not None
    assert sparse.quantiles[0, [0, -1]].tolist() == [0, 2]
    assert isinstance(dense.image, np.memmap)
    assert sparse.border is None
    assert dense.border is not None
    assert dense.border[4, 4, 4] == pytest.approx(2)


@pytest.mark.parametrize("kind", ["box", "voxels"])
@pytest.mark.parametrize("pad", [0, 5])
def test_quantiles_do_not_depend_on_the_padding(tmp_path, kind, pad) -> None:
    """Histograms are matched over the region; air becomes the air of the other case."""
    tissue = np.random.default_rng(0).random((1, 6, 7, 8)).astype(np.float32)
    tissue[0, 0, 0, 0] = tissue[0, 2:4, 2:4, 2:4] = -2  # as normalized
    image = np.pad(tissue, ((0, 0), *[(pad, pad)] * 3), constant_values=-2)
    prepared, weighed = prepared_case(tmp_path, "a"), weighed_case(tmp_path, "a")
    prepared.save_image(image)
    prepared.save_label(np.zeros(image.shape[1:], np.int16))
    prepared.save_region(Region(kind=kind, background=(-2.00001,)))
    weighed.save_maps(3, border=image[0], separation=None)

    found = read_training_case(
        tmp_path,
        "a",
        dimensions=3,
        border=False,
        sparse=False,
        balanced=False,
        matched=True,
        seed=0,
        legend=Legend(("background", "cell"), (0, 1), None),
    ).quantiles

    counted = tissue[0][tissue[0] != -2] if kind == "voxels" else tissue
    expected = np.quantile(counted, np.linspace(0, 1, 256))
    expected[0] = -2
    assert found is not None
    np.testing.assert_allclose(found[0], expected, atol=2e-5)
