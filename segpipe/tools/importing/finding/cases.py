"""Find the cases of a source by what the options say of it."""

from dataclasses import replace
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.documents import find_drawn, is_document
from segpipe.tools.importing.finding.matching import is_pattern
from segpipe.tools.importing.finding.pairs import find_pairs
from segpipe.tools.importing.finding.patterns import find_by_pattern
from segpipe.tools.importing.finding.sources import (
    RawCases,
    find_described,
    find_hdf5,
    shown,
)
from segpipe.tools.importing.reading.hdf5 import is_hdf5
from segpipe.tools.importing.reading.vocabulary import REST, sources_of, values_of


def find_cases(source: Path, options: ImportOptions) -> RawCases:
    """Find the cases of a source by the way that the options name.

    An image without a label is refused unless the options say otherwise; a document
    says itself which images are meant.

    Raises:
        DataError: If there is no such way, or if a case lacks a part.
    """
    found = _find(source, options)
    document = options.labels is not None and is_document(options.labels)
    if found.unlabelled and not options.labelled_only and not document:
        raise DataError(
            f"{source}: expected a label of each image, found none of "
            f"{shown([str(path) for path in found.unlabelled])}; correct --labels, or "
            "leave these images out with --labelled-only"
        )
    return found


def _find(source: Path, options: ImportOptions) -> RawCases:
    if not source.exists():
        raise DataError(f"{source}: expected a folder or an HDF5 file, found nothing")
    if source.is_file():
        if not is_hdf5(source):
            raise DataError(
                f"{source}: expected a folder or an HDF5 file, found another file; "
                "name the folder that holds the folders of images and labels"
            )
        found = find_hdf5(source.parent)
        return replace(
            found, cases=tuple(case for case in found.cases if case.label == source)
        )
    if options.labels is not None and is_document(options.labels):
        return find_drawn(source, options.images, options.labels)
    images = source / (options.images or "")
    if options.labels is None and any(map(is_hdf5, _files(images))):
        return find_hdf5(images, options.label_key if options.labelled_only else None)
    if options.images is None and (source / "dataset.json").is_file():
        return find_described(source)
    if options.images is None or options.labels is None:
        inner = sorted(path.name for path in source.iterdir() if path.is_dir())
        raise DataError(
            f"{source}: expected dataset.json, or the names of two folders, found the "
            f"folders {', '.join(inner) or '(none)'}; give for example --images images "
            "--labels labels"
        )
    if is_pattern(options.images) or is_pattern(options.labels):
        return find_by_pattern(
            source,
            options.images,
            options.labels,
            channels=options.channels,
            structures=_masks_of(options),
            reference=options.reference,
        )
    if options.reference is not None:
        raise DataError(
            "--reference: expected --labels with {observer}, as in "
            "'labels/{case}_{observer}.png', found a folder; leave the option out"
        )
    return find_pairs(
        images,
        source / options.labels,
        channel_suffixes=options.channel_suffixes,
        label_suffix=options.label_suffix,
    )


def _masks_of(options: ImportOptions) -> list[str]:
    """The names of the masks that the options name; none if one is of all others."""
    values = values_of(options.structures, named=True)
    sources = sources_of(options.structures, values, named=True)
    if sources.get(REST):
        return []
    return [str(source) for source in sources if source != REST]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
