"""QuPath's objects are read with holes, parts and classes; points are not lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.reading.shapes.geojson import is_geojson, read_geojson
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.projects import VERIFY
from tests.support.sources import noise, write_png

FLAT = (12, 10, 1)


def ring(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """A closed rectangle, as GeoJSON has it."""
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(geometry: Any, kind: Any = None) -> dict[str, Any]:
    properties = {"objectType": "annotation"}
    named = properties if kind is None else properties | {"classification": kind}
    return {"type": "Feature", "geometry": geometry, "properties": named}


TUMOR = feature(
    {"type": "Polygon", "coordinates": [ring(1, 1, 7, 8), ring(3, 3, 5, 6)]},
    {"name": "Tumor", "color": [200, 0, 0]},
)
STROMA = feature(
    {
        "type": "MultiPolygon",
        "coordinates": [[ring(8, 1, 10, 4)], [ring(8, 6, 11, 9)]],
    },
    {"names": ["Stroma", "Dense"], "color": [0, 200, 0]},
)
POINT = feature({"type": "Point", "coordinates": [3, 4]}, {"name": "Tumor"})


def write(path: Path, features: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_a_folder_of_qupath_is_proposed_and_comes_in(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for number, case in enumerate(("slide1", "slide2")):
        write_png(source / f"{case}.png", noise(number, FLAT), drawn=False)
        write(source / f"{case}.geojson", [TUMOR, STROMA, POINT])
    (options,) = look(source).proposals

    assert (options.images, options.labels) == ("{case}.png", "{case}.geojson")
    assert options.structures == {
        "Tumor": ("Tumor",),
        "Stroma: Dense": ("Stroma: Dense",),
    }
    import_dataset(source, tmp_path / "data", options)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    wanted = np.zeros(FLAT, int)
    wanted[1:7, 1:8] = 1
    wanted[3:5, 3:6] = 0
    wanted[8:10, 1:4] = wanted[8:11, 6:9] = 2
    drawn = read_label(tmp_path / "data" / "labelsTr" / "slide2.png")
    assert np.array_equal(drawn.array, wanted)
    line = read_ledger(tmp_path / "data")[1]
    assert line.dropped == ("1 of Point, which has no area",)


def test_a_list_of_features_and_collections_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    both = {"type": "GeometryCollection", "geometries": [TUMOR["geometry"]]}
    path.write_text(json.dumps([feature(both), feature(TUMOR["geometry"], "cell")]))
    found = read_geojson(path)

    assert is_geojson(path)
    assert found.names == ("unclassified", "cell")


FAULTS: dict[str, tuple[Any, str]] = {
    "no geometry": ([{"type": "Feature"}], "geometry in feature 1"),
    "no rings": ([feature({"type": "Polygon", "coordinates": 3})], "rings"),
    "text": ([feature({"type": "Polygon", "coordinates": [["a"]]})], "numbers"),
    "no number": (
        [feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, None]]]})],
        "finite",
    ),
    "huge number": (
        [feature({"type": "Polygon", "coordinates": [[[0, 0], [10**400, 1], [1, 2]]]})],
        "numbers",
    ),
    "uneven": (
        [feature({"type": "Polygon", "coordinates": [[[0, 0], [1], [1, 2]]]})],
        "numbers",
    ),
    "other": ([feature({"type": "Circle"})], "found 'Circle'"),
    "no name": ([feature(TUMOR["geometry"], {"name": 7})], "found '7'"),
    "no list": ("x", "FeatureCollection"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_geojson_is_refused(fault: str, tmp_path: Path) -> None:
    features, words = FAULTS[fault]
    path = write(tmp_path / "a.geojson", features)

    with pytest.raises(DataError, match=words) as refused:
        read_geojson(path)
    assert str(path) in str(refused.value)
