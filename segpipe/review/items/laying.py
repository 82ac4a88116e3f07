"""Laying: the files of an item, and what it is in truth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.evaluation.figures import Rows
from segpipe.images.formats.files import IMAGE_SUFFIXES, read_image
from segpipe.images.volume import Image
from segpipe.project.documents import write_bytes
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.dossier import (
    MONTAGE,
    PREVIOUS,
    PREVIOUS_MONTAGE,
    Item,
    Shown,
    Source,
    item_folder,
)
from segpipe.review.items.blinding import draw_letters
from segpipe.review.items.controls import Control, make_control
from segpipe.review.items.drawing import Drawn
from segpipe.review.items.masks import Masks
from segpipe.review.items.montage import build_montage, build_previous, plot_montage
from segpipe.review.items.volumes import (
    canonical,
    from_canonical,
    is_flat,
    to_canonical,
    write_images,
    write_masks,
    write_previous,
)

FIGURES = ("dice", "surface_dice", "volume_error")


def annotated_share(cases: CaseList, name: str, paths: Paths) -> float:
    """Share of a case's voxels that are annotated."""
    if cases.ignore is None:
        return 1.0
    label = read_case_label(paths.data, cases, cases[name])
    return float((label.array != cases.ignore).mean())


def find_previous(folder: Path | None, cases: CaseList) -> dict[str, Path]:
    """Case to the file of its previous study.

    Raises:
        DataError: If there is no such folder, or a file in it is none of a case.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected the folder with previous studies that review.yaml "
            "names, found none; correct `previous`, or write null"
        )
    names = {
        f"{case.name}{ending}": case.name
        for case in cases.cases
        for ending in IMAGE_SUFFIXES
    }
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in found:
        if path.name not in names:
            raise DataError(
                f"{path}: expected the name of a case and an ending such as .nii.gz, "
                f"found {path.name}; rename it, or move it away"
            )
    return {names[path.name]: path for path in found}


@dataclass(frozen=True, eq=False)
class Table:
    """What the items are laid out from.

    Attributes:
        cases: The data set.
        paths: The project's folders.
        ours: Masks of the candidate.
        theirs: Masks of the champion.
        reference: Whether the reference is shown, too.
        previous: File of the previous study of each case that has one.
    """

    cases: CaseList
    paths: Paths
    ours: Masks
    theirs: Masks
    reference: bool
    previous: Mapping[str, Path]

    def lay(self, drawn: Drawn, part: Path) -> tuple[Item, Shown]:
        """Write the files of an item; return what readers see and what it is."""
        case = self.cases[drawn.case]
        image = read_case(self.paths.data, self.cases, case)
        masks, control = self._masks(drawn)
        letters = draw_letters(list(masks))
        grid = canonical(image.grid)
        turned = Image(to_canonical(image.array, image.grid), grid)
        lettered = {
            letter: to_canonical(masks[source], image.grid)
            for letter, source in letters.items()
        }
        folder = item_folder(part, drawn.id)
        images = write_images(folder, turned, missing=case.missing)
        write_masks(folder, lettered, grid, values=self.cases.values)
        exhibit = build_montage(
            turned, lettered, self.cases.legend, channels=self.cases.channels
        )
        write_bytes(folder / MONTAGE, plot_montage(drawn.id, exhibit))
        window = exhibit.views[0].window
        if drawn.case in self.previous:
            self._lay_previous(drawn, folder, flat=is_flat(grid), window=window)
        return (
            Item(
                id=drawn.id,
                letters=tuple(letters),
                images=images,
                window=window,
                has_previous=drawn.case in self.previous,
            ),
            Shown(
                case=drawn.case,
                patient=case.patient,
                stratum=drawn.stratum,
                letters=letters,
                figures=self._figures(drawn.case) if control is None else {},
                rank=drawn.rank,
                also_worst=drawn.also_worst,
                repeats=drawn.repeats,
                fault=None if control is None else control.fault,
                refused=() if control is None else control.refused,
            ),
        )

    def _lay_previous(
        self, drawn: Drawn, folder: Path, *, flat: bool, window: tuple[float, float]
    ) -> None:
        """Write the image of the previous study, and its picture in the same window."""
        source = self.previous[drawn.case]
        read = read_image(source)
        image = Image(to_canonical(read.array, read.grid), canonical(read.grid))
        write_previous(folder / PREVIOUS, image, source=source, flat=flat)
        exhibit = build_previous(image, self.cases.channels, window=window)
        picture = plot_montage(drawn.id, exhibit, what=", previous study")
        write_bytes(folder / PREVIOUS_MONTAGE, picture)

    def _masks(self, drawn: Drawn) -> tuple[dict[Source, np.ndarray], Control | None]:
        """The label maps of an item on the grid of its file."""
        cases, label = self.cases, None
        ours, theirs = (one.read(cases, drawn.case) for one in (self.ours, self.theirs))
        assert ours is not None
        if annotated_share(cases, drawn.case, self.paths) == 1:
            label = read_case_label(self.paths.data, cases, cases[drawn.case])
        masks: dict[Source, np.ndarray] = {"candidate": ours}
        if theirs is not None:
            masks["champion"] = theirs
        if label is not None and self.reference:
            masks["reference"] = label.array
        if drawn.fault is None:
            return masks, None
        assert label is not None  # draw_items takes no other case
        mask, reference = (to_canonical(one, label.grid) for one in (ours, label.array))
        control = make_control(mask, reference, cases.legend, drawn.fault)
        assert control is not None
        back = from_canonical(control.labels, label.grid)
        return {**masks, "candidate": back}, control

    def _figures(self, case: str) -> dict[str, dict[str, float | None]]:
        """Structure to figure to value, such as candidate.dice."""
        sides: Mapping[str, Rows] = {
            "candidate": self.ours.rows,
            "champion": self.theirs.rows,
        }
        return {
            structure: {
                f"{side}.{figure}": _known(rows[case, structure][figure])
                for side, rows in sides.items()
                if (case, structure) in rows
                for figure in FIGURES
            }
            for structure in self.cases.structures[1:]
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
