"""Picture: one test case, with what was drawn and what each method found."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import PIL.Image
from jaxtyping import Float, Integer
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from experiments.arms import Run
from experiments.semantic_sets import SemanticSet, read_sides
from segpipe.evaluation.report.plots import STYLE
from segpipe.images.formats.files import read_image, read_label

SHADES = 96  # of the palette, which keeps the file small
CORNER = 160  # pixels of a large picture that are shown to each side of its middle
# Neighbouring numbers get different hues.
COLOURS = ListedColormap(
    [mpl.colormaps["tab20"](2 * n % 20 + n // 10) for n in range(20)]
)


def draw_case(
    file: Path,
    one: SemanticSet,
    runs: dict[str, list[Run]],
    raw: Path,
    references: Path,
) -> None:
    """Write the picture: the image, the reference and each method in one slice.

    The case is the first test case with structures; the slice shows most of them.

    Args:
        file: PNG to write.
        one: The set.
        runs: Runs of each arm, of which the first is shown.
        raw: Folder that ``semantic_sets.write_set`` wrote.
        references: Folder of the references.
    """
    names = [name for name, side in read_sides(raw) if side == "test"]
    labels = {name: read_label(references / f"{name}{one.ending}") for name in names}
    name = next(name for name in names if labels[name].array.any())
    axis, place = fullest_slice(labels[name].array)
    image = read_image(raw / "imagesTs" / f"{name}_0000{one.ending}").array.mean(axis=0)
    shown = {"image": None, "reference": labels[name].array} | {
        arm: read_label(each[0].folder / f"{name}{one.ending}").array
        for arm, each in runs.items()
    }
    with mpl.rc_context({**STYLE, "axes.grid": False, "axes.titlesize": 8}):
        figure = Figure(figsize=(2.1 * len(shown), 2.5), layout="constrained")
        for axes, (title, label) in zip(
            figure.subplots(1, len(shown)), shown.items(), strict=True
        ):
            axes.imshow(plane(image, axis, place), cmap="gray")
            if label is not None:
                cut = plane(label, axis, place)
                colours = np.ma.masked_where(cut == 0, (cut - 1) % 20)
                axes.imshow(
                    colours,
                    cmap=COLOURS,
                    vmin=0,
                    vmax=19,
                    alpha=0.6,
                    interpolation="nearest",
                )
            axes.set_title(title.replace(", ", ",\n"))
            axes.set_axis_off()
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
    picture = PIL.Image.open(out).convert("RGB").quantize(SHADES)
    picture.save(file, optimize=True)


def fullest_slice(label: Integer[np.ndarray, "i j k"]) -> tuple[int, int]:
    """Axis of the slice with the largest plane, and the number of the fullest one.

    The plane is the one whose shorter side is longest, so that a slab is not shown
    from its edge.
    """
    shape = label.shape
    axis = int(np.argmax([min(np.delete(shape, n)) for n in range(3)]))
    across = tuple(n for n in range(3) if n != axis)
    return axis, int(np.argmax((label > 0).sum(axis=across)))


def plane(
    array: Float[np.ndarray, "i j k"] | Integer[np.ndarray, "i j k"],
    axis: int,
    place: int,
) -> np.ndarray:
    """A slice with its second axis upwards; of a large picture, its middle."""
    cut: np.ndarray = np.take(array, place, axis=axis)
    if array.shape[2] == 1:
        middle = [slice(n // 2 - CORNER, n // 2 + CORNER) for n in cut.shape]
        return cut[middle[0], middle[1]].T
    return cut.T[::-1]
