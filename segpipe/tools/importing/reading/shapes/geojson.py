"""GeoJSON as QuPath exports it: the objects on one image, with holes and classes.

The format: RFC 7946 (a polygon's first ring is its outline, the others are holes);
coordinates are pixels of the image, not degrees.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.project.documents import parse_json
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes.drawing import (
    Drawing,
    Rings,
    Shape,
    read_bounded,
    ring_of,
)

SUFFIXES = (".geojson",)
UNCLASSIFIED = "unclassified"  # objects without a class
IGNORED = "Ignore*"  # the class that QuPath takes for no structure
LEVELS = 4  # of collections in collections


def is_geojson(path: Path) -> bool:
    """Whether a file is GeoJSON by its ending."""
    return path.name.lower().endswith(SUFFIXES)


def read_geojson(path: Path) -> Drawing:
    """Read the objects of a FeatureCollection, or of a list of features.

    Points and lines have no area; the drawing says that they were dropped.

    Raises:
        DataError: If it is damaged, or no GeoJSON.
    """
    document = parse_json(path, read_bounded(path))
    features = document.get("features") if isinstance(document, dict) else document
    if not isinstance(features, list):
        raise DataError(
            f"{path}: expected a FeatureCollection, found none; export the objects as "
            "GeoJSON (QuPath: File, Export objects as GeoJSON)"
        )
    shapes, lines = [], Counter[str]()
    for place, feature in enumerate(features, start=1):
        where = f"feature {place}"
        if not isinstance(feature, dict) or not isinstance(
            feature.get("geometry"), dict
        ):
            raise DataError(
                f"{path}: expected a geometry in {where}, found none; export it again"
            )
        polygons = _polygons(path, feature["geometry"], where, lines, LEVELS)
        if polygons:
            shapes.append(Shape(_name_of(path, feature, where), tuple(polygons)))
    dropped = tuple(f"{n} of {kind}, which has no area" for kind, n in lines.items())
    return Drawing(tuple(shapes), dropped=dropped)


def _name_of(path: Path, feature: dict[str, Any], where: str) -> str:
    """The class of an object; of a derived one all names, as QuPath joins them."""
    properties = feature.get("properties") or {}
    kind = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(kind, dict):
        names = kind.get("names")
        kind = (
            ": ".join(map(str, names)) if isinstance(names, list) else kind.get("name")
        )
    if kind is None:
        return UNCLASSIFIED
    if not isinstance(kind, str) or not kind.strip():
        raise DataError(
            f"{path}: expected the name of a class in {where}, found "
            f"{str(kind)[:40]!r}; give the object a class, or none"
        )
    return kind.strip()


def _polygons(
    path: Path, geometry: dict[str, Any], where: str, lines: Counter[str], levels: int
) -> list[Rings]:
    """The polygons of a geometry; counts what has no area."""
    kind, found = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        return [_rings(path, found, where)]
    if kind == "MultiPolygon" and isinstance(found, list):
        return [_rings(path, one, where) for one in found]
    inner = geometry.get("geometries")
    if kind == "GeometryCollection" and isinstance(inner, list) and levels:
        return [
            rings
            for one in inner
            if isinstance(one, dict)
            for rings in _polygons(path, one, where, lines, levels - 1)
        ]
    if kind in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        lines[str(kind)] += 1
        return []
    raise DataError(
        f"{path}: expected a Polygon or MultiPolygon in {where}, found "
        f"{str(kind)[:40]!r}; export it again"
    )


def _rings(path: Path, found: Any, where: str) -> Rings:
    if not isinstance(found, list) or not found:
        raise DataError(
            f"{path}: expected the rings of a polygon in {where}, found none; export "
            "it again"
        )
    rings = []
    for ring in found:
        try:
            corners = np.array(ring, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{path}: expected numbers as coordinates in {where}, found {error}; "
                "export it again"
            ) from error
        flat = corners[:, :2] if corners.ndim == 2 else corners
        rings.append(ring_of(path, flat, where))
    return Rings(tuple(rings))
