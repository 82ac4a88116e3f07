"""CVAT's polygons, boxes and masks are read; entities and videos are refused."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.reading.shapes.cvat import is_cvat, read_cvat
from segpipe.tools.importing.run import import_dataset
from tests.support.projects import VERIFY
from tests.support.sources import noise, write_png

FLAT = (12, 10, 1)
IMAGE = '<image id="0" name="a.png" width="12" height="10">{}</image>'
POLYGON = '<polygon label="{}" source="manual" occluded="0" points="{}" z_order="0"/>'
BOX = '<box label="cell" xtl="5.0" ytl="1.0" xbr="8.0" ybr="3.0" {}/>'
# Two rows of four pixels: one out, three in; two in, two out.
MASK = '<mask label="dirt" rle="{}" left="{}" top="6" width="4" height="2"/>'
SQUARE = "1.00,1.00;4.00,1.00;4.00,3.00;1.00,3.00"


def write(path: Path, *shapes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        "<meta><task><labels><label><name>cell</name></label></labels></task></meta>"
        f"{IMAGE.format(''.join(shapes))}</annotations>"
    )
    return path


def test_a_task_of_cvat_is_proposed_and_comes_in(tmp_path: Path) -> None:
    source = tmp_path / "s"
    write_png(source / "images" / "a.png", noise(1, FLAT), drawn=False)
    shapes = (POLYGON.format("cell", SQUARE), BOX.format(""), MASK.format("1,5,2", 2))
    line = '<polyline label="cell" points="1,1;2,2"/>'
    path = write(source / "annotations.xml", *shapes, line)
    found = look(source)

    assert is_cvat(path)
    assert found.proposals == (
        ImportOptions(
            labels="annotations.xml",
            structures={"cell": ("cell",), "dirt": ("dirt",)},
        ),
    )
    assert "annotations.xml: CVAT, shapes on 1 images: cell 2, dirt 1" in found.lines
    assert "cases: 1, a" in found.lines
    import_dataset(source, tmp_path / "data", found.proposals[0])
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    wanted = np.zeros(FLAT, int)
    wanted[1:4, 1:3] = wanted[5:8, 1:3] = 1
    wanted[3:6, 6] = wanted[2:4, 7] = 2
    drawn = read_label(tmp_path / "data" / "labelsTr" / "a.png")
    assert np.array_equal(drawn.array, wanted)
    assert read_cvat(path)["a.png"].dropped == ("1 of polyline, which has no area",)


FAULTS: dict[str, tuple[str, str]] = {
    "odd": (POLYGON.format("cell", "1,1;2;3,4"), "x,y of each corner"),
    "text": (POLYGON.format("cell", "1,1;2,x;3,4"), "expected numbers"),
    "infinite": (POLYGON.format("cell", "1,1;2,inf;3,4"), "finite"),
    "no label": (POLYGON.format("", SQUARE), "expected label"),
    "turned": (BOX.format('rotation="30.0"'), "an upright box"),
    "runs": (MASK.format("1,5", 2), "fill 4 x 2 pixels"),
    "huge runs": (MASK.format("0,1e30", 2).replace('"2"', '"1e15"'), "run lengths"),
    "no runs": (MASK.format("", 2), "expected rle"),
    "ellipse": ('<ellipse label="cell" cx="1" cy="1" rx="1" ry="1"/>', "an ellipse"),
    "not closed": ("<label>", "whole XML"),
    "video": (
        '</image><track id="0"/><image id="1" name="b" width="1" height="1">',
        "tracks of a video",
    ),
    "twice": ('</image><image id="1" name="a.png" width="1" height="1">', "once"),
    "no size": ('</image><image id="1" name="b" width="0" height="1">', "size of b"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_refused(fault: str, tmp_path: Path) -> None:
    shape, words = FAULTS[fault]
    path = write(tmp_path / "a.xml", shape)

    with pytest.raises(DataError, match=words) as refused:
        read_cvat(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_any_encoding(
    encoding: str, tmp_path: Path
) -> None:
    """A billion laughs, and a file of this machine."""
    path = write(tmp_path / "a.xml", BOX.format(""))
    bombs = (
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
    )
    for bomb in bombs:
        text = path.read_text().replace("<annotations>", f"{bomb}<annotations>", 1)
        other = tmp_path / "b.xml"
        other.write_text(text.replace("utf-8", encoding), encoding=encoding)
        with pytest.raises(DataError, match="without a document type"):
            read_cvat(other)
