"""A mask file for each instance, in a folder a case, as the DSB 2018 has them."""

import time
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.families import (
    CASE,
    IMAGE_WORDS,
    LABEL_WORDS,
    ending_of,
)
from segpipe.tools.importing.proposal.images import look_at_images
from segpipe.tools.importing.proposal.labels import Meaning
from segpipe.tools.importing.proposal.patients import list_cases, propose_patients
from segpipe.tools.importing.proposal.values import BUDGET_S
from segpipe.tools.importing.reading.labels import Drawn, LabelRules, Notes, read_drawn

COMMON = 0.5  # share of cases from which on a file's name is that of a structure
Cases = dict[str, tuple[str, list[str]]]  # the image and the masks of each case


def look_at_instances(
    source: Path, paths: list[str]
) -> tuple[list[str], Meaning] | None:
    """Look for ``CASE/images/IMAGE`` beside ``CASE/masks/ANY``; None if it is not so.

    Args:
        source: The folder.
        paths: Paths of images in it.
    """
    pictures: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        parts = path.split("/")
        if len(parts) >= 3:
            kind, head = parts[-2].lower(), "/".join(parts[:-2])
            if kind in LABEL_WORDS:
                masks[head].append(path)
            elif kind in IMAGE_WORDS:
                pictures[head].append(path)
    found = {
        head: (pictures[head][0], sorted(masks[head]))
        for head in sorted(masks)
        if len(pictures[head]) == 1
    }
    images = {_open(image, head) for head, (image, _) in found.items()}
    labels = {
        _open(str(PurePosixPath(path).with_name("{instance}")), head) + ending_of(path)
        for head, (_, drawn) in found.items()
        for path in drawn
    }
    whole = len(found) == len(masks) == len(pictures)
    if not found or not whole or len(images) > 1 or len(labels) > 1:
        return None
    if not _are_instances(found):
        return None
    return _look(source, found, images.pop(), labels.pop())


def _open(path: str, head: str) -> str:
    """The pattern of a path, whose case is the last folder of the head."""
    before, _, case = head.rpartition("/")
    tail = path.removeprefix(head).removeprefix("/")
    name = tail.rpartition("/")[2]
    stem = name[: len(name) - len(ending_of(name))]
    if stem == case:
        tail = tail.removesuffix(name) + CASE + ending_of(name)
    elif "{instance}" not in name:
        tail = tail.removesuffix(name) + "*" + ending_of(name)
    return "/".join(part for part in (before, CASE, tail) if part)


def _are_instances(found: Cases) -> bool:
    """Whether the names of the masks are not those of structures in other cases."""
    names = Counter(
        path.rpartition("/")[2] for _, drawn in found.values() for path in drawn
    )
    several = max(len(drawn) for _, drawn in found.values()) > 1
    numbered = all(any(map(str.isdigit, name)) for name in names)
    common = sum(n > COMMON * len(found) for n in names.values()) > len(names) / 2
    return several and (numbered if len(found) == 1 else numbered or not common)


def _look(
    source: Path, found: Cases, images: str, labels: str
) -> tuple[list[str], Meaning]:
    cases = sorted(head.rpartition("/")[2] for head in found)
    files = [source / image for image, _ in found.values()]
    image = look_at_images(files, ImportOptions())
    number = sum(len(drawn) for _, drawn in found.values())
    options = ImportOptions(
        images=images,
        labels=labels,
        instances=True,
        structures={"structure_1": 1},
        grey=image.grey,
    )
    options, line = propose_patients(options, source, cases)
    lines = [
        f"images: {images}",
        f"labels: {labels}, {number} masks, one an instance",
        list_cases(cases),
        *image.lines(files[0]),
        line,
    ]
    if _share_voxels(source, found):
        lines.append("some voxels lie in two masks: the later one gets them")
        options = ImportOptions(**{**vars(options), "overlap": "last"})
    return lines, Meaning((options,))


def _share_voxels(source: Path, found: Cases) -> bool:
    """Whether masks of a case share voxels, as far as time allows."""
    start, rules = time.monotonic(), LabelRules(instances=True)
    for _, drawn in found.values():
        if time.monotonic() - start > BUDGET_S:
            break
        masks = Drawn(tuple(source / path for path in drawn), apart=True)
        try:
            read_drawn(masks, rules, Notes())
        except DataError as error:
            return "--overlap" in str(error)
    return False
