"""What a document of shapes says is proposed in full, and comes in verified."""

import json
import tracemalloc
from pathlib import Path

import pytest

from segpipe.dataset.description import read_description
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.run import import_dataset
from tests.support.projects import VERIFY
from tests.support.sources import noise, write_coco, write_panoptic, write_png

DOCUMENT = "annotations.json"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (
            ("cell",),
            ImportOptions(
                labels=DOCUMENT, structures={"cell": ("cell",)}, instances=True
            ),
        ),
        (
            ("cell", "dirt"),
            ImportOptions(
                labels=DOCUMENT, structures={"cell": ("cell",), "dirt": ("dirt",)}
            ),
        ),
        # --structure cannot say these names; the import takes all kinds as they are.
        (("a, b", "7"), ImportOptions(labels=DOCUMENT)),
    ],
)
def test_coco_is_proposed_and_comes_in(
    names: tuple[str, ...], wanted: ImportOptions, tmp_path: Path
) -> None:
    write_coco(tmp_path / "s", names=names)
    found = look(tmp_path / "s")

    assert found.proposals == (wanted,)
    assert found.doubt == ""
    number = 2 * 2
    assert (
        f"annotations.json: COCO, shapes on 2 images: {names[0]} {number}"
        in (found.lines[1])
    )
    import_dataset(tmp_path / "s", tmp_path / "data", wanted)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))


def test_who_has_a_pixel_of_two_shapes_is_said(tmp_path: Path) -> None:
    """The larger kind is written first; of instances the later one is kept."""
    for names in (("cell", "dirt"), ("cell",)):
        write_coco(tmp_path, names=names)
        path = tmp_path / DOCUMENT
        content = json.loads(path.read_text())
        extra = dict(content["annotations"][-1])
        content["annotations"].append(
            extra | {"id": 99, "segmentation": [[0, 0, 12, 0, 12, 10, 0, 10]]}
        )
        path.write_text(json.dumps(content))
        (found,) = look(tmp_path).proposals

        assert found.overlap == "last"
        assert list(found.structures) == list(reversed(names))


def test_images_elsewhere_or_missing_are_said(tmp_path: Path) -> None:
    write_coco(tmp_path)
    for case in ("a", "b"):
        write_png(tmp_path / "old" / f"{case}.png", noise(1, (12, 10, 1)), drawn=False)
    assert look(tmp_path).proposals == ()
    assert "--images FOLDER" in look(tmp_path).lines[-1]
    (tmp_path / "old" / "b.png").unlink()
    (found,) = look(tmp_path).proposals
    assert found.images == "images"
    (tmp_path / "images" / "b.png").unlink()
    assert look(tmp_path).lines[-1] == "no file of 1 images, as b.png"


def test_two_documents_are_two_choices(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "b.json").write_bytes((tmp_path / DOCUMENT).read_bytes())
    found = look(tmp_path)

    assert [one.labels for one in found.proposals] == [DOCUMENT, "b.json"]
    assert "then another with --add" in found.doubt
    (tmp_path / "b.json").write_text("{}")
    assert len(look(tmp_path).proposals) == 1


def test_a_document_that_states_a_huge_image_costs_no_memory(tmp_path: Path) -> None:
    """32,000 x 32,000 pixels in 4 bytes are 4 GB."""
    write_coco(tmp_path)
    path = tmp_path / DOCUMENT
    document = json.loads(path.read_text())
    side = 32_000
    for image in document["images"]:
        image |= {"width": side, "height": side}
    document["annotations"][0]["segmentation"] = [[0, 0, side, 0, side, side, 0, side]]
    path.write_text(json.dumps(document))

    tracemalloc.start()
    found = look(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50e6
    assert found.proposals
    with pytest.raises(DataError, match=r"a\.png|annotations\.json"):
        import_dataset(tmp_path, tmp_path / "data", found.proposals[0])
    assert not (tmp_path / "data").exists()


def test_a_panoptic_document_is_proposed_and_comes_in(tmp_path: Path) -> None:
    """The PNG files of ids, which have the names of the images, are no images."""
    write_panoptic(tmp_path / "s")
    found = look(tmp_path / "s")

    wanted = ImportOptions(
        labels="panoptic.json", structures={"cell": ("cell",), "sky": ("sky",)}
    )
    assert found.proposals == (wanted,)
    assert found.doubt == ""
    counted = "panoptic.json: COCO panoptic, segments on 2 images: cell 6, sky 2"
    assert counted in found.lines
    assert "instances of cell" in found.lines
    assert not [line for line in found.lines if "not used" in line]
    import_dataset(tmp_path / "s", tmp_path / "data", wanted)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    assert len(list((tmp_path / "data" / "instancesTr").iterdir())) == 2


def test_a_kind_that_is_the_background_or_unknown_is_proposed_as_such(
    tmp_path: Path,
) -> None:
    """The values of data/ are those without any option."""
    for name, wanted in (
        ("background", {"background": 0, "cell": 1, "ignore": 2}),
        ("ignore", {"background": 0, "cell": 1, "ignore": 2}),
    ):
        document = write_panoptic(tmp_path / name)
        document["categories"][0]["name"] = name
        (tmp_path / name / "panoptic.json").write_text(json.dumps(document))
        (found,) = look(tmp_path / name).proposals
        data = [tmp_path / f"{name} {way}" for way in ("plain", "proposed")]
        import_dataset(tmp_path / name, data[0], ImportOptions(labels=found.labels))
        import_dataset(tmp_path / name, data[1], found)

        assert found.structures["cell"] == ("cell",)
        labels = [one / "labelsTr" / "a.png" for one in data]
        assert labels[0].read_bytes() == labels[1].read_bytes()
        assert read_description(data[1]).labels == wanted
