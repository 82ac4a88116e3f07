"""Folders with a mask of each instance are proposed, and come in as ids."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.proposal.standards.instances import look_at_instances
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.projects import VERIFY
from tests.support.sources import noise, write_png

FLAT = (12, 10, 1)


def nucleus(number: int) -> np.ndarray:
    array = np.zeros(FLAT, np.uint8)
    array[4 * number : 4 * number + 3, 2:6] = 255
    return array


def write_nuclei(source: Path, *, root: str = "") -> None:
    """As in the DSB 2018: the name of the image is that of the folder."""
    for seed, case in enumerate(("0a1f", "0b2e")):
        folder = source / root / case
        write_png(folder / "images" / f"{case}.png", noise(seed, FLAT), drawn=False)
        for number in range(3):
            write_png(folder / "masks" / f"{number}{case}.png", nucleus(number))


@pytest.mark.parametrize("root", ["", "stage1_train"])
def test_a_mask_of_each_instance_is_proposed_and_comes_in(
    root: str, tmp_path: Path
) -> None:
    write_nuclei(tmp_path / "s", root=root)
    found = look(tmp_path / "s")

    before = f"{root}/" if root else ""
    wanted = ImportOptions(
        images=before + "{case}/images/{case}.png",
        labels=before + "{case}/masks/{instance}.png",
        instances=True,
        structures={"structure_1": 1},
    )
    assert found.proposals == (wanted,)
    import_dataset(tmp_path / "s", tmp_path / "data", wanted)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    ids = read_label(tmp_path / "data" / "instancesTr" / "0a1f.png").array
    drawn = read_label(tmp_path / "data" / "labelsTr" / "0a1f.png").array
    numbered = sum((nucleus(n) // 255 * (n + 1) for n in range(3)), np.zeros(FLAT, int))
    assert np.array_equal(ids, numbered)
    assert np.array_equal(drawn, numbered > 0)
    lines = read_ledger(tmp_path / "data")
    assert [line.read_as for line in lines[:4]] == [
        "image",
        *["mask of an instance"] * 3,
    ]
    with pytest.raises(DataError, match=r"expected --instances beside \{instance\}"):
        import_dataset(
            tmp_path / "s",
            tmp_path / "other",
            ImportOptions(images=wanted.images, labels=wanted.labels),
        )


def test_instances_that_share_voxels_are_said(tmp_path: Path) -> None:
    write_nuclei(tmp_path)
    write_png(tmp_path / "0a1f" / "masks" / "9x.png", nucleus(1))
    (found,) = look(tmp_path).proposals

    assert found.overlap == "last"


def test_masks_of_structures_are_no_instances(tmp_path: Path) -> None:
    names = ("liver", "spleen")
    paths = [f"{case}/masks/{name}.png" for case in ("a", "b") for name in names]

    assert look_at_instances(tmp_path, [*paths, "a/images/a.png"]) is None
    images = ["a/images/a.png", "b/images/b.png"]
    assert look_at_instances(tmp_path, [*paths, *images]) is None
