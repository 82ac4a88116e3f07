"""Pairs: images and label maps of two folders that belong together by their names."""

import logging
import re
from collections import defaultdict
from pathlib import Path

from segpipe.images.formats.files import FOREIGN_FORMATS, IMAGE_SUFFIXES, suffix_of
from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.sources import RawCase, RawCases, shown, stem_of

log = logging.getLogger(__name__)


def find_pairs(
    images: Path, labels: Path, *, channel_suffixes: tuple[str, ...], label_suffix: str
) -> RawCases:
    """Find the cases of two folders by the names of the files.

    Args:
        images: Folder of images.
        labels: Folder of label maps; may be the same.
        channel_suffixes: Endings of the stems that name the channels, in this order.
        label_suffix: Ending of the label maps' stems after the name of the case.

    Raises:
        DataError: If a label has no image, or nothing a label; lists them.
    """
    drawn = _drawn(labels, label_suffix)
    taken = _list_images(images)
    if images == labels:
        taken = {
            stem: file for stem, file in taken.items() if file not in drawn.values()
        }
    by_case = _by_case(taken, set(drawn), channel_suffixes)
    unlabelled = tuple(
        file
        for name, files in sorted(by_case.items())
        for file in files.values()
        if name not in drawn
    )
    labels_alone = sorted(set(drawn) - set(by_case))
    if labels_alone or not drawn:
        alone = [f"label {drawn[name]}" for name in labels_alone]
        alone += [f"image {file}" for file in unlabelled]
        raise DataError(
            f"{images}: expected an image and a label of each case, found without a "
            f"partner {shown(alone) or 'nothing: no label at all'}; move them out, or "
            "give the part that differs by --channel-suffix or --label-suffix"
        )
    labelled = {name: by_case[name] for name in sorted(drawn)}
    wanted = _wanted_channels(images, labelled, channel_suffixes)
    cases = tuple(
        RawCase(
            name,
            tuple(files[part] for part in wanted if part in files),
            drawn[name],
            missing=tuple(n for n, part in enumerate(wanted) if part not in files),
        )
        for name, files in labelled.items()
    )
    names = tuple(part.strip("_-. ") for part in channel_suffixes)
    return RawCases(cases, names, unlabelled=unlabelled)


def _drawn(labels: Path, suffix: str) -> dict[str, Path]:
    """The label maps of a folder by the names of their cases."""
    drawn = {}
    for stem, file in _list_images(labels).items():
        if stem.endswith(suffix):
            drawn[_without(stem, suffix)] = file
        else:
            log.info("left out %s: it does not end in %s", file, suffix)
    return drawn


def _wanted_channels(
    images: Path, labelled: dict[str, dict[str, Path]], suffixes: tuple[str, ...]
) -> tuple[str, ...]:
    """The endings of the channels, those that are asked for or all that are found."""
    seen = sorted({part for files in labelled.values() for part in files})
    wanted = suffixes or tuple(seen)
    if lost := set(wanted) - set(seen):
        raise DataError(
            f"{images}: expected images of the channels {', '.join(wanted)}, found "
            f"none of {', '.join(sorted(lost))}; correct --channel-suffix"
        )
    plain = [str(files[""]) for files in labelled.values() if "" in files]
    if plain and len(wanted) > 1:
        raise DataError(
            f"{images}: expected channels with numbers, as in _0000, in all cases or "
            f"in none, found images without: {shown(plain)}; rename them"
        )
    return wanted


def _by_case(
    files: dict[str, Path], names: set[str], suffixes: tuple[str, ...]
) -> dict[str, dict[str, Path]]:
    """Files by case and channel; without suffixes, by _0000 if a label has the stem."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for stem, file in files.items():
        numbered = re.fullmatch(r"(.+)_(\d{4})", stem)
        for suffix in suffixes:
            if stem.endswith(suffix):
                found[_without(stem, suffix)][suffix] = file
                break
        else:
            if suffixes:
                log.info("left out %s: it ends in none of the channel suffixes", file)
            elif stem not in names and numbered and numbered[1] in names:
                found[numbered[1]][numbered[2]] = file
            else:
                found[stem][""] = file
    return dict(found)


def _without(stem: str, suffix: str) -> str:
    return stem.removesuffix(suffix).rstrip("_-. ") if suffix else stem


def _list_images(folder: Path) -> dict[str, Path]:
    """Image files by stem; other files are left out, foreign formats are refused."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder, found none; see --images, --labels"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.name.lower().endswith(IMAGE_SUFFIXES):
            stem = stem_of(path)
            if stem in found:
                raise DataError(
                    f"{path}: expected one file of this name, found {found[stem]} "
                    "beside it; move one out"
                )
            found[stem] = path
        elif path.suffix.lower() in FOREIGN_FORMATS:
            suffix_of(path)  # raises: how to convert it
        else:
            log.info("left out %s: not an image", path)
    return found
