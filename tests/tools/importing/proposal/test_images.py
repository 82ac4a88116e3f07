"""What the first image is, is said with where it comes from."""

from pathlib import Path

import numpy as np

from segpipe.images.formats.raster import write_image
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.images import look_at_images
from tests.support.sources import noise, write_nifti, write_png

FLAT = (12, 10, 1)


def test_a_spacing_is_said_with_its_source(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", noise(0), drawn=False)
    write_png(tmp_path / "a.png", noise(0, FLAT), drawn=False)

    def lines(name: str) -> str:
        found = look_at_images([tmp_path / name], ImportOptions())
        return "\n".join(found.lines(tmp_path / name))

    assert "12 x 10 x 6, 1 channel" in lines("a.nii")
    assert "spacing: 1 x 1 x 2 mm, axes RAS, from its header" in lines("a.nii")
    assert "spacing: none in the file, so px; --spacing-mm 0.5,0.5" in lines("a.png")


def test_colours_are_grey_only_if_they_are_in_all_images(tmp_path: Path) -> None:
    grey = np.stack([noise(0, FLAT)] * 3)
    write_image(tmp_path / "a.png", grey)
    write_image(tmp_path / "b.png", grey + np.array([0, 0, 1]).reshape(3, 1, 1, 1))

    def is_grey(*names: str) -> bool:
        files = [tmp_path / name for name in names]
        return look_at_images(files, ImportOptions()).grey

    assert is_grey("a.png", "a.png")
    assert not is_grey("a.png", "b.png")


def test_a_ct_is_known_by_its_air_or_by_its_name(tmp_path: Path) -> None:
    for name, low in {"air": -1024, "some": -200, "none": 1}.items():
        array = noise(0) - noise(0).min() + low
        write_nifti(tmp_path / f"{name}.nii", array, drawn=False)
    looks = {
        name: look_at_images([tmp_path / f"{name}.nii"], ImportOptions())
        for name in ("air", "some", "none")
    }

    assert looks["air"].is_ct("{case}.nii")
    assert not looks["some"].is_ct("{case}.nii")
    assert looks["some"].is_ct("{case}_ct.nii")
    assert not looks["none"].is_ct("{case}_ct.nii")
