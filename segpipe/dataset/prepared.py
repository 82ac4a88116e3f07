"""Prepared cases: the files that preprocess, weigh and annotate write, case by case."""

import resource
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int32, Int64, UInt8
from pydantic import Field

from segpipe.images.borders import Dimensions, Separation
from segpipe.images.grid import Grid
from segpipe.images.region import Region
from segpipe.project.documents import Document, expect_file, write_json

MOST_FILES = 65_536  # that a process keeps open, if the system lets it


class CaseIndex(Document):
    """The digest of what a stage wrote for each case.

    Attributes:
        format_version: Version of this document.
        cases: Digest of each case, by the name of the case.
    """

    format_version: Literal[1]
    cases: dict[str, str]


def index_file(folder: Path) -> Path:
    """The file of the index in the folder of a stage that works case by case."""
    return folder / "index.json"


class ClassCounts(Document):
    """How many annotated voxels of each class a case has.

    Attributes:
        format_version: Version of this document.
        counts: Annotated voxels of each class, by the name of the case.
        known: The same without the voxels that annotate hides; only of the cases of
            which it hides any.
    """

    format_version: Literal[1]
    counts: dict[str, tuple[int, ...]]
    known: dict[str, tuple[int, ...]] = Field(default_factory=dict)  # none before


def counts_file(folder: Path) -> Path:
    """The file of the class counts in the folder of weigh."""
    return folder / "counts.json"


def read_counts(artifacts: Path, *, sparse: bool) -> dict[str, tuple[int, ...]]:
    """Read the annotated voxels of each class that weigh counted, by case.

    Args:
        artifacts: Folder of all stages.
        sparse: Whether voxels that annotate hides are left out.
    """
    found = ClassCounts.read(counts_file(artifacts / "weigh"))
    return {**found.counts, **found.known} if sparse else found.counts


class LabelledShares(Document):
    """The share of the voxels of each case that counts as labelled.

    Attributes:
        format_version: Version of this document.
        shares: Share from 0 to 1, by the name of the case.
    """

    format_version: Literal[1]
    shares: dict[str, float]


def shares_file(folder: Path) -> Path:
    """The file of the labelled shares in the folder of annotate."""
    return folder / "shares.json"


def read_shares(artifacts: Path) -> dict[str, float]:
    """Read the labelled share of each case that annotate wrote."""
    return LabelledShares.read(shares_file(artifacts / "annotate")).shares


@dataclass(frozen=True)
class PreparedCase:
    """A case that preprocess wrote, on the prepared grid.

    The arrays are memory-mapped: they are read as they are used.

    Attributes:
        folder: Folder of the case.
    """

    folder: Path

    @property
    def image_bytes(self) -> int:
        """Bytes of the file of the image, which is not read for it."""
        return (self.folder / "image.npy").stat().st_size

    @property
    def image(self) -> Float32[np.ndarray, "channel i j k"]:
        """Normalized intensities."""
        return _open(self.folder / "image.npy")

    @property
    def label(self) -> Int16[np.ndarray, "i j k"]:
        """Class indices; negative where not annotated."""
        return _open(self.folder / "label.npy")

    @property
    def instances(self) -> Int32[np.ndarray, "i j k"] | None:
        """Instance ids, 0 where there is none; None if the case has no such file."""
        return _open_if_there(self.folder / "instances.npy")

    @property
    def region(self) -> Region | None:
        """The voxels that count in statistics, by their normalized background values.

        None for all voxels.
        """
        file = self.folder / "region.json"
        return Region.read(file) if file.is_file() else None

    def save_image(self, image: Float32[np.ndarray, "channel i j k"]) -> None:
        """Write the normalized intensities."""
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self.folder / "image.npy", image)

    def save_label(self, label: Int16[np.ndarray, "i j k"]) -> None:
        """Write the class indices."""
        np.save(self.folder / "label.npy", label)

    def save_instances(self, instances: Int32[np.ndarray, "i j k"]) -> None:
        """Write the instance ids."""
        np.save(self.folder / "instances.npy", instances)

    def save_region(self, region: Region) -> None:
        """Write the voxels that count in statistics."""
        region.write(self.folder / "region.json")

    def save_grids(self, *, original: Grid, prepared: Grid) -> None:
        """Write the grid of the image file and the prepared grid, for people."""
        write_json(
            self.folder / "grid.json",
            {
                "format_version": 1,
                "original": original.to_json(),
                "prepared": prepared.to_json(),
            },
        )


def prepared_case(artifacts: Path, name: str) -> PreparedCase:
    """The case of a name as preprocess wrote it."""
    return PreparedCase(artifacts / "preprocess" / name)


@dataclass(frozen=True)
class WeighedCase:
    """The weight maps of a case that weigh wrote; the maps are memory-mapped.

    Attributes:
        folder: Folder of the case.
    """

    folder: Path

    @property
    def known(self) -> "WeighedCase":
        """The weight maps without hidden voxels, if annotate hides any."""
        return WeighedCase(self.folder / "known")

    def border(self, dimensions: Dimensions) -> Float32[np.ndarray, "i j k"]:
        """The border term for networks of these dimensions; 0 where not annotated."""
        return _open(self._file("border", dimensions))

    def separation(self, dimensions: Dimensions) -> Bool[np.ndarray, "i j k"] | None:
        """Voxels between touching instances; None if instances were not separated."""
        return _open_if_there(self._file("separation", dimensions))

    def levels(self, dimensions: Dimensions) -> UInt8[np.ndarray, "i j k"] | None:
        """How deep voxels lie in their instances; None if weigh has no levels."""
        return _open_if_there(self._file("levels", dimensions))

    @property
    def counts(self) -> Int64[np.ndarray, " classes"]:
        """Annotated voxels of each class."""
        return _open(self.folder / "counts.npy")

    def save_maps(
        self,
        dimensions: Dimensions,
        *,
        border: Float32[np.ndarray, "i j k"],
        separation: Bool[np.ndarray, "i j k"] | None,
        levels: UInt8[np.ndarray, "i j k"] | None = None,
    ) -> None:
        """Write the maps for networks of these dimensions."""
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self._file("border", dimensions), border)
        if separation is not None:
            np.save(self._file("separation", dimensions), separation)
        if levels is not None:
            np.save(self._file("levels", dimensions), levels)

    def save_counts(self, counts: Int64[np.ndarray, " classes"]) -> None:
        """Write the annotated voxels of each class."""
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self.folder / "counts.npy", counts)

    def _file(self, name: str, dimensions: Dimensions) -> Path:
        return self.folder / f"{name}-{dimensions}d.npy"


def separation_file(folder: Path, dimensions: Dimensions) -> Path:
    """The file in the folder of weigh that says how touching instances are separated.

    It is there only if they are separated and a case has instance ids.
    """
    return folder / f"separation-{dimensions}d.json"


def read_separation(artifacts: Path, dimensions: Dimensions) -> Separation | None:
    """Read how weigh separated touching instances; None if it did not.

    Args:
        artifacts: Folder of all stages.
        dimensions: Dimensions of the network.
    """
    file = separation_file(artifacts / "weigh", dimensions)
    return Separation.read(file) if file.is_file() else None


def weighed_case(artifacts: Path, name: str) -> WeighedCase:
    """The weight maps of the case of a name as weigh wrote them."""
    return WeighedCase(artifacts / "weigh" / name)


def save_known_label(
    folder: Path, name: str, label: Int16[np.ndarray, "i j k"]
) -> None:
    """Write the label of a case without its hidden voxels, into annotate's folder."""
    np.save(_known_label_file(folder, name), label)


def open_known_label(artifacts: Path, name: str) -> Int16[np.ndarray, "i j k"] | None:
    """The label that annotate wrote; memory-mapped; None if it hides no voxel."""
    return _open_if_there(_known_label_file(artifacts / "annotate", name))


def has_known_label(artifacts: Path, name: str) -> bool:
    """Whether annotate hides voxels of a case."""
    return _known_label_file(artifacts / "annotate", name).is_file()


def _known_label_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def open_annotation(
    artifacts: Path, name: str, *, sparse: bool
) -> tuple[Int16[np.ndarray, "i j k"], WeighedCase]:
    """The label of a case and its weight map: all that a model may know of them.

    Whatever a training reads of a label, it reads from here.

    Args:
        artifacts: Folder of all stages.
        name: Name of the case.
        sparse: Whether the model trains on sparse annotation. Then voxels that annotate
            hides are negative, and the weight map is that of the others alone.
    """
    weighed = weighed_case(artifacts, name)
    known = open_known_label(artifacts, name) if sparse else None
    if known is None:
        return prepared_case(artifacts, name).label, weighed
    return known, weighed.known


def _open(file: Path) -> np.ndarray:
    _keep_many_files_open()
    array: np.ndarray = np.load(expect_file(file), mmap_mode="r")
    return array


@cache  # once a process
def _keep_many_files_open() -> None:
    """Let this process keep many files open, if the system lets it.

    A memory map keeps its file open, a training has up to five for each case, and
    most systems stop at 1,024 files unless a process asks for more.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = most == resource.RLIM_INFINITY
    wanted = MOST_FILES if endless else min(most, MOST_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):  # a system with a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _open_if_there(file: Path) -> np.ndarray | None:
    return _open(file) if file.is_file() else None
