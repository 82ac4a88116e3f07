"""Voxel values as every reader returns them, and the structures that labels stand for.

A *class* is a value that a voxel of a label map may have. A structure is a class of its
own, or a union of classes, which may overlap with others (a region of nnU-Net).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, Integer

from segpipe.project.documents import Document
from segpipe.project.errors import DataError

WHOLE = 1e-3  # labels saved as floats lie this close to whole numbers
LOWEST, LARGEST = -(2**31), 2**31 - 1


class Unions(Document):
    """Structures that are unions of values, and so may overlap.

    Attributes:
        values: The values of each structure, without background.
        order: The value as which each structure is written in a label map; a later
            structure is written over the earlier ones.

    Source:
        Regions and ``regions_class_order`` of nnU-Net v2,
        documentation/region_based_training.md.
    """

    values: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Legend:
    """What the values of a label map stand for.

    Attributes:
        structures: Name of each structure, background first.
        values: Value of each class, background first.
        unions: The values of each structure, if some hold several; None if each
            structure is the class with its number.
    """

    structures: tuple[str, ...]
    values: tuple[int, ...]
    unions: Unions | None

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The values of each structure, background first."""
        if self.unions is None:
            return tuple((value,) for value in self.values)
        return ((0,), *self.unions.values)

    @cached_property
    def table(self) -> Bool[np.ndarray, "structure class"]:
        """Whether a class (column) belongs to a structure (row); background first."""
        return np.array(
            [[value in own for value in self.values] for own in self.members]
        )

    def _holders(self, value: int) -> frozenset[int]:
        """The numbers of the structures that hold a value, without background."""
        pairs = enumerate(self.members[1:], start=1)
        return frozenset(number for number, own in pairs if value in own)

    def _around(self, number: int) -> frozenset[int]:
        """The structures that hold all values of one, which is among them."""
        own = {*self.members[number]}
        pairs = enumerate(self.members[1:], start=1)
        return frozenset(other for other, held in pairs if own <= {*held})

    def apart(
        self, labels: Integer[np.ndarray, "i j k"], number: int
    ) -> Int8[np.ndarray, "i j k"]:
        """A structure alone: 1 where it is, 2 where others are that do not hold it.

        It is 0 in the background and where there are only structures around it, and -1
        at values without a meaning.
        """
        result = np.full(labels.shape, -1, dtype=np.int8)
        for value in self.values:
            if value in self.members[number]:
                code = 1
            else:
                code = 0 if self._holders(value) <= self._around(number) else 2
            result[labels == value] = code
        return result

    def corrected(
        self,
        labels: Integer[np.ndarray, "i j k"],
        number: int,
        *,
        lost: Bool[np.ndarray, "i j k"],
        gained: Bool[np.ndarray, "i j k"],
    ) -> Integer[np.ndarray, "i j k"]:
        """A label map in which a structure loses and gains voxels.

        What it loses, the structures inside it lose, too; what it gains, those around
        it gain, too. A voxel then has the value that is written for its structures.
        """
        assert self.unions is not None
        inside = {n for n in range(1, len(self.members)) if number in self._around(n)}
        result = labels.copy()
        for value in self.values:
            held, here = self._holders(value), labels == value
            for where, left in (
                (lost, held - inside),
                (gained, held | self._around(number)),
            ):
                new = self.unions.order[max(left) - 1] if left else 0
                result[here & where] = new
        return result

    @property
    def indexed(self) -> "Legend":
        """The same structures in label maps of class numbers instead of values."""
        number = {value: n for n, value in enumerate(self.values)}
        unions = self.unions and Unions(
            values=tuple(tuple(number[v] for v in own) for own in self.unions.values),
            order=tuple(number[value] for value in self.unions.order),
        )
        return Legend(self.structures, tuple(number.values()), unions)

    def values_of(self, structure: str) -> tuple[int, ...]:
        """The values of a structure, by its name."""
        return self.members[self.structures.index(structure)]

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class: that of its structure, or its value in a union."""
        if self.unions is None:
            return self.structures
        return (self.structures[0], *map(str, self.values[1:]))

    def mask(
        self, labels: Integer[np.ndarray, "*shape"], number: int
    ) -> Bool[np.ndarray, "*shape"]:
        """Where a structure is in a label map; the background is number 0."""
        first, *others = self.members[number]
        found: Bool[np.ndarray, "*shape"] = labels == first
        for value in others:
            found |= labels == value
        return found

    def topmost(
        self, labels: Integer[np.ndarray, "*shape"]
    ) -> Integer[np.ndarray, "*shape"]:
        """The number of the structure at each voxel, of several the last; 0 for none.

        Voxels without annotation are 0, too.
        """
        result = np.zeros(labels.shape, dtype=np.int32)
        for number in range(1, len(self.structures)):
            result[self.mask(labels, number)] = number
        return result

    def count(self, voxels: Mapping[int, int]) -> dict[str, int]:
        """Voxels of each structure without background, from those of each value."""
        pairs = zip(self.structures[1:], self.members[1:], strict=True)
        return {name: sum(voxels.get(value, 0) for value in own) for name, own in pairs}


def _check_real(path: Path | str, array: np.ndarray) -> None:
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{path}: expected real numbers, found {array.dtype}; write magnitude and "
            "phase, or what is meant, as channels of real numbers"
        )


def finite_float32(
    path: Path | str, array: np.ndarray
) -> Float32[np.ndarray, "*shape"]:
    """The values as float32, contiguous.

    Args:
        path: The file, for the error.
        array: Values of any real type.

    Raises:
        DataError: If a value is complex, NaN, infinite or beyond float32.
    """
    _check_real(path, array)
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise DataError(
            f"{path}: expected finite voxels, found {count} NaN or infinite; "
            "mask or fill them in the program that writes the image"
        )
    return values


def whole_labels(path: Path, array: np.ndarray) -> Int[np.ndarray, "i j k"]:
    """The labels as int8, int16 or int32, contiguous.

    Signed, because 0 - 1 in unsigned numbers is 255.

    Args:
        path: The file, for the error.
        array: Labels of any real type with axes i, j, k.

    Raises:
        DataError: If a value is further than 0.001 from a whole number, or beyond 32
            bits.
    """
    _check_real(path, array)
    whole = array
    if array.dtype.kind not in "iub":
        whole = np.rint(array)
        with np.errstate(invalid="ignore"):  # infinity is no whole number, either
            strange = ~(np.abs(array - whole) <= WHOLE)
        if strange.any():
            found = ", ".join(f"{value:g}" for value in np.unique(array[strange])[:5])
            raise DataError(
                f"{path}: expected whole labels, found {found}; "
                "was the label map resampled with linear interpolation?"
            )
    if whole.dtype.itemsize > 2 and (whole.max() > LARGEST or whole.min() < LOWEST):
        raise DataError(
            f"{path}: expected labels from {LOWEST} to {LARGEST}, found "
            f"{whole.min():.12g} to {whole.max():.12g}; renumber the structures"
        )
    if whole.dtype.kind == "b" or whole.dtype == np.uint8:
        return np.ascontiguousarray(whole, np.int16)
    if whole.dtype in (np.int8, np.int16):
        return np.ascontiguousarray(whole)
    return np.ascontiguousarray(whole, np.int32)
