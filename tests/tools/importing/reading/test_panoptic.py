"""COCO's panoptic format comes in pixel by pixel; what contradicts itself does not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

from segpipe.dataset.case import read_cases
from segpipe.dataset.description import read_description
from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.reading import panoptic
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.projects import VERIFY
from tests.support.sources import (
    CELL,
    LARGE,
    SKY,
    noise,
    panoptic_ids,
    write_ids,
    write_panoptic,
    write_png,
)

DOCUMENT = "panoptic.json"
PLAIN = ImportOptions(labels=DOCUMENT)
IDS = panoptic_ids()
CELLS = np.isin(IDS, (9, LARGE))


def read(data: Path, folder: str, case: str = "a") -> np.ndarray:
    """A map of data/ by Pillow: columns and rows."""
    with PIL.Image.open(data / folder / f"{case}.png") as image:
        return np.asarray(image).T.astype(int)


def test_kinds_are_structures_and_things_keep_their_instances(tmp_path: Path) -> None:
    """Each pixel is known from its id, which the writer split into R, G and B.

    Void and the crowd are not annotated; the sky has no instance.
    Seeds: T2.
    """
    write_panoptic(tmp_path / "s")
    import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)

    names = read_description(tmp_path / "data").labels
    assert names == {"background": 0, "cell": 1, "sky": 2, "ignore": 3}
    wanted = np.select([CELLS, IDS == 70000], [1, 2], 3)
    assert np.array_equal(read(tmp_path / "data", "labelsTr"), wanted)
    ids = np.select([IDS == 9, IDS == LARGE], [1, 2], 0)
    assert np.array_equal(read(tmp_path / "data", "instancesTr", "b"), ids)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    assert not read_cases(tmp_path / "artifacts").cases[0].warnings
    line = read_ledger(tmp_path / "data")[1]
    assert (line.file, line.read_as) == ("panoptic/a.png", "segments")
    assert line.wrote == ("labelsTr/a.png", "instancesTr/a.png")
    assert line.dropped == ("1 crowds, whose objects nobody told apart",)
    assert line.assumed == (f"{(IDS == 0).sum()} pixels of no segment are 3 in data/",)


def test_void_is_background_where_a_person_says_so(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "s")
    options = ImportOptions(
        labels=DOCUMENT, structures={"background": ("void*", "crowd*")}
    )
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    wanted = np.select([CELLS, IDS == 70000], [1, 2], 0)
    assert np.array_equal(read(tmp_path / "data", "labelsTr"), wanted)
    assert "ignore" not in read_description(tmp_path / "data").labels


def test_one_kind_alone_has_the_rest_as_background_but_not_void(tmp_path: Path) -> None:
    """A crowd of what is not asked for is no unknown."""
    write_panoptic(tmp_path / "s")
    for name, source in (("cell", "nucleus"), ("sky", "air")):
        options = ImportOptions(labels=DOCUMENT, structures={source: (name,)})
        import_dataset(tmp_path / "s", tmp_path / name, options)

    cells, sky = (read(tmp_path / name, "labelsTr") for name in ("cell", "sky"))
    unknown = (IDS == 0) | (IDS == 5)
    assert np.array_equal(cells, np.select([CELLS, unknown], [1, 2], 0))
    air, void = IDS == 70000, IDS == 0
    assert np.array_equal(sky, np.select([air, void], [1, 2], 0))
    assert not (tmp_path / "sky" / "instancesTr").exists()  # stuff alone
    dropped = "segments that are background in data/: 1 of sky"
    assert dropped in read_ledger(tmp_path / "cell")[1].dropped


def test_structures_that_overlap_come_without_ids(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "s")
    united = {"all": ("cell", "sky"), "cell": ("cell",)}
    options = ImportOptions(labels=DOCUMENT, structures=united)
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    assert not (tmp_path / "data" / "instancesTr").exists()
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))


def test_cases_join_and_data_without_void_say_how(tmp_path: Path) -> None:
    """The mend of the message is followed."""
    ids = np.where(IDS == 0, 70000, IDS)
    write_panoptic(tmp_path / "whole", ids=ids)
    import_dataset(tmp_path / "whole", tmp_path / "data", PLAIN)
    document = write_panoptic(tmp_path / "more", ids=np.where(IDS == 5, 0, IDS))
    for number, case in enumerate(("c", "d")):
        moved = tmp_path / "more" / "images" / f"{case}.png"
        write_png(moved, noise(number + 2, (12, 10, 1)), drawn=False)
        document["images"][number]["file_name"] = moved.name
        (moved.parent / f"{'ab'[number]}.png").unlink()
    (tmp_path / "more" / DOCUMENT).write_text(json.dumps(document))

    adding = ImportOptions(labels=DOCUMENT, add=True)
    with pytest.raises(DataError, match=r"no ignore, found void\*.*=void\*'$"):
        import_dataset(tmp_path / "more", tmp_path / "data", adding)
    said = ImportOptions(
        labels=DOCUMENT, add=True, structures={"background": ("void*",)}
    )
    import_dataset(tmp_path / "more", tmp_path / "data", said)
    assert len(list((tmp_path / "data" / "instancesTr").iterdir())) == 4


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """A change of the document of a source."""

    def apply(source: Path) -> None:
        document = json.loads((source / DOCUMENT).read_text())
        change(document)
        (source / DOCUMENT).write_text(json.dumps(document))

    return apply


def segment(**more: Any) -> Callable[[dict[str, Any]], Any]:
    """A change of the first segment of the first image."""
    return lambda d: d["annotations"][0]["segments_info"][0].update(more)


def repaint(path: str, ids: np.ndarray) -> Callable[[Path], None]:
    return lambda source: write_ids(source / path, ids)


def save(mode: str) -> Callable[[Path], None]:
    """The PNG of the first image in another mode."""

    def apply(source: Path) -> None:
        path = source / "panoptic" / "a.png"
        with PIL.Image.open(path) as image:
            other = image.convert(mode)
        other.save(path)

    return apply


STRANGE = np.where(IDS == 9, 10, IDS)
MANY = [{"id": n + 1, "category_id": CELL} for n in range(1 << 16)]
CATEGORY = {"id": 3, "name": "cell", "isthing": 0}
FAULTS = {
    "isthing": (
        edit(lambda d: d["categories"][0].pop("isthing")),
        r"categories.0.isthing: Field required; export it again",
        edit(lambda d: d["categories"][0].update(isthing=0)),
    ),
    "both": (
        edit(lambda d: d["categories"].append(CATEGORY)),
        r"thing or as stuff \(isthing\), found cell as both; give one .* another name",
        edit(lambda d: d["categories"][2].update(name="leaf")),
    ),
    "twice an id": (
        edit(lambda d: d["categories"].append(CATEGORY | {"id": SKY})),
        r"one category of each id, found 7 twice; give each its own",
        edit(lambda d: d["categories"].pop()),
    ),
    "image": (
        edit(lambda d: d["annotations"][0].update(image_id=9)),
        r"image that the document lists in annotation 0, found image 9; export it",
        edit(lambda d: d["annotations"][0].update(image_id=0)),
    ),
    "annotations": (
        edit(lambda d: d["annotations"].append(d["annotations"][0])),
        r"one annotation of a.png, found several; delete all but one",
        edit(lambda d: d["annotations"].pop()),
    ),
    "size": (
        edit(lambda d: d["images"][0].update(width=1 << 20, height=1 << 20)),
        r"expected the size of a.png in pixels, found 1048576 x 1048576",
        edit(lambda d: d["images"][0].update(width=12, height=10)),
    ),
    "zero": (
        edit(segment(id=0)),
        r"ids from 1 to 16777215, each once, .* a.png, found 0; number the segments",
        edit(segment(id=5)),
    ),
    "25 bits": (
        edit(segment(id=1 << 24)),
        r"ids from 1 to 16777215, each once, .* found 16777216; number the segments",
        edit(segment(id=5)),
    ),
    "one id twice": (
        edit(segment(id=9)),
        r"each once, in the segments of a.png, found 9; number the segments again",
        edit(segment(id=5)),
    ),
    "category": (
        edit(segment(category_id=99)),
        r"category that the document lists .* found 99; add it to the categories",
        edit(lambda d: d["categories"].append(CATEGORY | {"id": 99, "name": "x"})),
    ),
    "too many": (
        edit(lambda d: d["annotations"][0].update(segments_info=MANY)),
        r"at most 65535 in the segments of a.png, found 65536; cut the image into",
        edit(
            lambda d: d["annotations"][0].update(
                segments_info=d["annotations"][1]["segments_info"]
            )
        ),
    ),
    "outside": (
        edit(lambda d: d["annotations"][0].update(file_name="../images/a.png")),
        r"in the folder panoptic beside the document, found no '../images/a.png' there",
        edit(lambda d: d["annotations"][0].update(file_name="a.png")),
    ),
    "folder": (
        lambda source: (source / "panoptic").rename(source / "masks"),
        r"found no 'a.png' there; give the folder of the PNG files the name of the",
        lambda source: (source / "masks").rename(source / "panoptic"),
    ),
    "not listed": (
        repaint("panoptic/a.png", STRANGE),
        r"a.png: expected segments that panoptic.json lists, found 10; .* the id 0$",
        repaint("panoptic/a.png", np.where(STRANGE == 10, 0, STRANGE)),
    ),
    "shape": (
        repaint("panoptic/a.png", IDS[:-1]),
        r"a.png: expected 12 x 10 pixels, as panoptic.json states, found 11 x 10;",
        repaint("panoptic/a.png", IDS),
    ),
    "grey": (
        save("L"),
        r"ids in red, green and blue of 8 bits, found 1 channels .* PNG of RGB",
        repaint("panoptic/a.png", IDS),
    ),
    "alpha": (
        save("RGBA"),
        r"ids in red, green and blue of 8 bits, found 4 channels .* PNG of RGB",
        save("RGB"),
    ),
    "other image": (
        lambda source: write_png(source / "images/a.png", noise(0, (9, 9, 1))),
        r"expected the image of a.png, 12 x 10 pixels, found 9 x 9 x 1; give the image",
        lambda source: write_png(source / "images/a.png", noise(0, (12, 10, 1))),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_contradiction_is_refused_and_its_mend_helps(
    fault: str, tmp_path: Path
) -> None:
    spoil, words, mend = FAULTS[fault]
    write_panoptic(tmp_path / "s")
    spoil(tmp_path / "s")
    with pytest.raises(DataError, match=words) as refused:
        import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)

    assert str(tmp_path / "s") in str(refused.value)
    assert not (tmp_path / "data").exists()
    mend(tmp_path / "s")
    import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)


def test_ids_are_kept_without_the_option(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "s")
    options = ImportOptions(labels=DOCUMENT, instances=True)

    with pytest.raises(DataError, match="keep their ids, found it; leave it out"):
        import_dataset(tmp_path / "s", tmp_path / "data", options)


def test_a_document_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_panoptic(tmp_path / "s")
    size = (tmp_path / "s" / DOCUMENT).stat().st_size
    with (tmp_path / "s" / DOCUMENT).open("ab") as file:
        file.truncate(1 << 30)  # a sparse file, which takes no space

    with pytest.raises(DataError, match="at most 512 MB, found 1024 MB; split it"):
        import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)
    os.truncate(tmp_path / "s" / DOCUMENT, size)
    import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)


def test_a_segment_without_a_pixel_is_said(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "s")
    repaint("panoptic/a.png", np.where(IDS == 9, 0, IDS))(tmp_path / "s")
    import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)

    dropped = read_ledger(tmp_path / "data")[1].dropped
    assert dropped[0] == "1 segments of the document that have no pixel"
    assert panoptic.MOST_SEGMENTS == 65535  # which a PNG of 16 bits stores


@pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)
def test_nuclei_come_back_as_they_were(tmp_path: Path) -> None:
    """2d_dsb2018, whose ids go up to hundreds, by one number for one.

    Seeds: T2.
    """
    folder = Path(os.environ["SEGPIPE_REAL_DATA"], "2d_dsb2018")
    files = sorted((folder / "labels").glob("*.png"))[:2]
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [
            {"id": 1, "name": "nucleus", "isthing": 1},
            {"id": 2, "name": "background", "isthing": 0},
        ],
    }
    drawn = {file.stem: read_label(file).array[..., 0] for file in files}
    for number, (case, ids) in enumerate(drawn.items()):
        name = f"{case}.png"
        (tmp_path / "s" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / "images" / name).symlink_to(folder / "images" / name)
        spread = ids.astype(np.int64) * 40009 % (1 << 24) + 1  # background is id 1
        write_ids(tmp_path / "s" / "panoptic" / name, spread)
        size = {"width": ids.shape[0], "height": ids.shape[1]}
        document["images"].append({"id": number, "file_name": name, **size})
        segments = [
            {"id": int(one), "category_id": 1 + int(one == 1)}
            for one in np.unique(spread)
        ]
        document["annotations"].append(
            {"image_id": number, "file_name": name, "segments_info": segments}
        )
    (tmp_path / "s" / DOCUMENT).write_text(json.dumps(document))
    import_dataset(tmp_path / "s", tmp_path / "data", PLAIN)

    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    assert read_description(tmp_path / "data").labels == {"background": 0, "nucleus": 1}
    for case, ids in drawn.items():
        assert np.array_equal(read(tmp_path / "data", "labelsTr", case), ids > 0)
        found = read(tmp_path / "data", "instancesTr", case)
        assert np.array_equal(found > 0, ids > 0)
        pairs = {*zip(ids.ravel().tolist(), found.ravel().tolist(), strict=True)}
        assert len(pairs) == len(np.unique(ids)) == len(np.unique(found)) > 3
        assert ndimage.label(ids)[1] <= found.max()
