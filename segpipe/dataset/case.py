"""Case: the files of one study; CaseList: the verified data set."""

import hashlib
import math
import re
from bisect import bisect_left
from pathlib import Path
from typing import Literal

from pydantic import Field

from segpipe.dataset.description import Values, legend_of
from segpipe.images.values import Legend
from segpipe.project.documents import Document, Unit, is_empty

# Column of patients.csv: digest of the segmenter whose mask was corrected to the label.
DERIVED = "derived_from"


class Case(Document):
    """One study of one patient.

    Attributes:
        name: Unique name, from the names of the files.
        patient: Patient of the study: split keeps the cases of a patient together.
        images: Image files relative to the data folder, in the order of the channels.
        label: Label file relative to the data folder.
        instances: File of instance ids, if there is one.
        shape: Voxels along i, j, k.
        spacing: Distance of voxel centres along i, j, k, in the unit.
        attributes: Free columns of patients.csv, such as site or scanner.
        warnings: What verify found strange, but accepted.
        digest: Digest of the voxels of all images, the same for copies; None in a list
            that an older segpipe wrote.
        structures: Names of the structures of which voxels are drawn; empty in a list
            that an older segpipe wrote.
        missing: Numbers of the channels that the case lacks; ``images`` holds the
            others.
        observers: Label files that other people drew, by the name of each; left out of
            the file where there are none.
    """

    name: str
    patient: str
    images: tuple[str, ...]
    label: str
    instances: str | None
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    attributes: dict[str, str]
    warnings: tuple[str, ...]
    digest: str | None = None
    structures: tuple[str, ...] = ()
    missing: tuple[int, ...] = Field((), exclude_if=is_empty)
    observers: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)

    @property
    def image_bytes(self) -> int:
        """Bytes of its images as float32 on their own grid, if each has one channel."""
        return 4 * (len(self.images) + len(self.missing)) * math.prod(self.shape)

    @property
    def is_derived(self) -> bool:
        """Whether its label is a corrected segmentation, so that it is no reference."""
        return bool(re.fullmatch(r"[0-9a-f]{64}", self.attributes.get(DERIVED, "")))


class CaseList(Document):
    """cases.json: the verified data set.

    Attributes:
        format_version: Version of this document.
        dimensions: 2 for images, 3 for volumes.
        unit: ``mm``, or ``px`` without a physical spacing.
        spacing_mm: Distance of columns and of rows, for 2-D images that store none.
        file_ending: Ending of the images and labels, such as ``.nii.gz``.
        channels: Names of the channels.
        labels: Value of each structure in the label files, or the values that it
            unites; background is 0.
        ignore: The value that means *not annotated*, if the data set has one.
        cases: All cases, by name.
        regions_class_order: The value as which each structure is written, if some
            unite values.
        missing_channels: ``zeros`` if cases may lack channels, which are then 0 after
            normalization.
    """

    format_version: Literal[1]
    dimensions: Literal[2, 3]
    unit: Unit
    spacing_mm: tuple[float, float] | None
    file_ending: str
    channels: tuple[str, ...]
    labels: dict[str, Values]
    ignore: int | None
    cases: tuple[Case, ...]
    regions_class_order: tuple[int, ...] | None = Field(None, exclude_if=is_empty)
    missing_channels: Literal["zeros"] | None = Field(None, exclude_if=is_empty)

    @property
    def legend(self) -> Legend:
        """What the values of the label files stand for."""
        return legend_of(self.labels, self.regions_class_order)

    @property
    def values(self) -> tuple[int, ...]:
        """The value of each class in the label files; class 0 is the background."""
        return self.legend.values

    @property
    def structures(self) -> tuple[str, ...]:
        """The name of each structure; the first is the background."""
        return self.legend.structures

    def __getitem__(self, name: str) -> Case:
        """The case with a name; found at once where the cases are in their order."""
        place = bisect_left(self.cases, name, key=lambda case: case.name)
        if place < len(self.cases) and self.cases[place].name == name:
            return self.cases[place]
        return next(case for case in self.cases if case.name == name)


def cases_file(artifacts: Path) -> Path:
    """The file of the verified data set."""
    return artifacts / "verify" / "cases.json"


def read_cases(artifacts: Path) -> CaseList:
    """Read the data set that the stage verify wrote."""
    return CaseList.read(cases_file(artifacts))


def pseudonyms(cases: list[str]) -> dict[str, str]:
    """Numbered names for cases, in an order that does not reveal their names."""
    order = sorted(cases, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    width = len(str(len(order)))
    return {name: f"case {n:0{width}d}" for n, name in enumerate(order, start=1)}
