"""Canvas: shapes become a label map of structures or of instance ids."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.painting import Holders, Painting
from segpipe.tools.importing.reading.shapes.drawing import Drawing, Shape, stamps

SHOWN = 4  # pairs listed in an error
Namer = Callable[[int], str]


@dataclass(frozen=True)
class Canvas:
    """An image on which shapes are drawn.

    Attributes:
        path: The document, for errors.
        grid: The grid of the image; one slice.
        overlap: Which of two shapes a pixel of both belongs to: first or last; None
            refuses it.
        dropped: Receives what the label map does not hold, in sentences.
        assumed: Receives what the document does not say, in sentences.
        holders: The structures that hold each value, where structures are unions.
    """

    path: Path
    grid: Grid
    overlap: str | None
    dropped: list[str]
    assumed: list[str]
    holders: Holders = field(default_factory=dict)

    def draw_structures(
        self, drawing: Drawing, sources: Mapping[int | str, int]
    ) -> LabelMap:
        """Draw the shapes of each structure, in the order of the structures.

        Args:
            drawing: The shapes.
            sources: Value of each kind of shape; 0 leaves it out.

        Raises:
            DataError: If the document is of another image, or a pixel is in two
                structures and ``overlap`` is None.
        """
        order = {name: place for place, name in enumerate(sources)}
        shapes = sorted(self._chosen(drawing, sources), key=lambda s: order[s.name])
        names = {value: str(name) for name, value in sources.items()}
        values = [sources[shape.name] for shape in shapes]
        return self._draw(shapes, values, lambda value: names[value], self.holders)

    def draw_instances(
        self, drawing: Drawing, sources: Mapping[int | str, int]
    ) -> LabelMap:
        """Draw each shape with an id of its own, from 1, in the order of the document.

        Raises:
            DataError: As for structures, or if a shape stands for several objects.
        """
        shapes = self._chosen(drawing, sources)
        crowds = sum(shape.crowd for shape in shapes)
        if crowds:
            raise DataError(
                f"{self.path}: expected one object in each shape, found {crowds} of a "
                "crowd (iscrowd); take them out, or import without --instances"
            )
        numbers = list(range(1, len(shapes) + 1))
        return self._draw(shapes, numbers, lambda n: f"{shapes[n - 1].name} {n}", {})

    def _chosen(
        self, drawing: Drawing, sources: Mapping[int | str, int]
    ) -> list[Shape]:
        """The shapes of structures; notes the others."""
        size = self.grid.shape[:2]
        if self.grid.shape[2] > 1 or drawing.size not in (None, size):
            stated = " x ".join(map(str, drawing.size or ("one slice",)))
            found = " x ".join(map(str, self.grid.shape))
            raise DataError(
                f"{self.path}: expected the image on which was drawn, {stated} pixels, "
                f"found {found}; give the image that the document states"
            )
        self.dropped.extend(drawing.dropped)
        if not drawing.shapes:
            self.assumed.append("no shape on it: taken as an image without structures")
        counts: dict[str, int] = defaultdict(int)
        for shape in drawing.shapes:
            counts[shape.name] += not sources.get(shape.name, 0)
        left_out = [f"{n} of {name}" for name, n in counts.items() if n]
        if left_out:
            self.dropped.append(f"shapes that are not asked for: {', '.join(left_out)}")
        return [one for one in drawing.shapes if sources.get(one.name, 0)]

    def _draw(
        self,
        shapes: list[Shape],
        values: Sequence[int],
        name: Namer,
        holders: Holders,
    ) -> LabelMap:
        """Draw shapes in their order; a pixel of two values is refused or noted."""
        whole = np.zeros(self.grid.shape, np.int32)
        painting = Painting(whole, self.overlap, holders)
        size = (self.grid.shape[0], self.grid.shape[1])
        empty = Counter[str]()
        for shape, value in zip(shapes, values, strict=True):
            pixels = 0
            for (i, j), inside in stamps(self.path, shape, size):
                painting.paint(inside, value, (i, j, 0))
                pixels += int(inside.sum())
            empty[shape.name] += not pixels
        if painting.contested:
            self._answer(painting.contested, name)
        if +empty:
            found = ", ".join(f"{n} of {kind}" for kind, n in (+empty).items())
            self.dropped.append(f"shapes in which no pixel has its centre: {found}")
        for (outer, inner), n in painting.nested.items():
            words = f"{n} pixels of {name(inner)} are in {name(outer)}, and in both"
            self.assumed.append(words)
        return LabelMap(whole, self.grid)

    def _answer(self, overlaps: Mapping[tuple[int, int], int], name: Namer) -> None:
        """Refuse pixels of two shapes, or note who has them."""
        number = sum(overlaps.values())
        if self.overlap is not None:
            self.dropped.append(
                f"{number} pixels of a shape, which the {self.overlap} of two has"
            )
            return
        pairs = [f"{n} of {name(a)} and {name(b)}" for (a, b), n in overlaps.items()]
        raise DataError(
            f"{self.path}: expected each pixel in one shape, found {number} in two: "
            f"{', '.join(pairs[:SHOWN])}; draw them apart, or give --overlap first or "
            "--overlap last (structures in the order of --structure, instances in the "
            "order of the document)"
        )
