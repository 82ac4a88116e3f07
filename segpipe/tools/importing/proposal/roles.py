"""Roles of families: which hold images, labels, structures, channels and observers."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from segpipe.dataset.description import NIFTI
from segpipe.images.formats import itk
from segpipe.tools.importing.proposal.families import (
    CASE,
    IMAGE_WORDS,
    LABEL_WORDS,
    Family,
    ending_of,
    words_of,
)
from segpipe.tools.importing.reading.shapes import geojson

OBSERVER = re.compile(
    r"\d+(st|nd|rd|th)?_?(ho|obs|observer|rater|reader|annotator|expert)"
    r"|(ho|obs|observer|rater|reader|annotator|annot|expert|manual|gt)_?\d+"
    r"|(observer|rater|reader|annotator|expert)_?[a-z]",
    re.IGNORECASE,
)
CHANNEL_DIGITS = 4  # of the number of a channel in nnU-Net
VOLUMES = (*NIFTI, *itk.SUFFIXES)
PART = re.compile(r"\{case\}|[A-Za-z0-9]+|.")


@dataclass(frozen=True)
class Layout:
    """One way to read the families of a source.

    Attributes:
        images: Pattern of the images, perhaps with ``{channel}``.
        labels: Pattern of the labels, perhaps with ``{structure}`` or ``{observer}``.
        channels: Names of the channels.
        structures: Names of the masks; empty if there are label maps.
        observers: Names of the observers, if there are several.
        name: What the names of the files call the only structure, if they do.
        pictured: The families of images.
        drawn: The families of labels.
    """

    images: str
    labels: str
    channels: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    name: str = ""
    pictured: tuple[Family, ...] = field(default=(), repr=False)
    drawn: tuple[Family, ...] = field(default=(), repr=False)

    @property
    def cases(self) -> list[str]:
        """Names of the cases that have an image and a label."""
        of_images = {name for f in self.pictured for name in f.files}
        return sorted(of_images & {name for f in self.drawn for name in f.files})


def find_layouts(
    way: tuple[Family, ...], looks_drawn: Callable[[Family], bool]
) -> list[Layout] | None:
    """Find the layouts that the families of a source allow; several if it is open.

    Args:
        way: The families.
        looks_drawn: Whether the content of a family looks like labels; it is asked
            where the names do not say it.

    Returns:
        The layouts; empty if images and labels are there that do not belong together;
        None if no image has a label.
    """
    roles = {family: _role(family.pattern) for family in way}
    for family, role in roles.items():
        if role is None:
            roles[family] = "label" if looks_drawn(family) else "image"
    drawn = [family for family, role in roles.items() if role == "label"]
    pictured = [family for family, role in roles.items() if role == "image"]
    pictured = _common(pictured, drawn)
    if drawn:  # a picture beside volumes is no channel of them
        solid = ending_of(drawn[0].pattern).lower() in VOLUMES
        pictured = [f for f in pictured if _is_solid(f) == solid]
    if not drawn or not pictured:
        return None
    found = [
        layout for images in _images(pictured) for layout in _labels(drawn, images)
    ]
    paired = [layout for layout in found if layout.cases]
    return [layout for layout in paired if _is_sound(layout)] if paired else None


def _common(pictured: list[Family], drawn: list[Family]) -> list[Family]:
    """The images that half of the labelled cases have, or all if there are none."""
    labelled = {name for family in drawn for name in family.files}
    common = [f for f in pictured if is_common(f.files, labelled)]
    return common or pictured


def is_common(names: Collection[str], labelled: Collection[str]) -> bool:
    """Whether at least half of the labelled cases are among the names."""
    return 2 * len(set(names) & set(labelled)) >= len(labelled)


def _is_sound(layout: Layout) -> bool:
    """Whether images and labels are not those of other cases, or of single instances.

    What is left of two paths besides the case may not have different numbers: they
    would be those of two cases. A mask that one case alone has is no structure.
    """
    numbers = [set(_numbers(f.pattern)) for f in layout.drawn]
    same = all(set(_numbers(f.pattern)) in numbers for f in layout.pictured)
    single = sum(len(family.files) == 1 for family in layout.drawn)
    instances = len(layout.cases) > 1 and single > len(layout.drawn) / 2
    return (same or bool(layout.channels)) and not instances


def _numbers(pattern: str) -> list[str]:
    """The numbers in a path that are no channels, as 0000 in nnU-Net is."""
    stem = pattern[: len(pattern) - len(ending_of(pattern))].replace(CASE, "_")
    words = re.split(r"[^A-Za-z0-9]+", stem)
    return [word for word in words if word.isdecimal() and len(word) != CHANNEL_DIGITS]


def _is_solid(family: Family) -> bool:
    return ending_of(family.pattern).lower() in VOLUMES


def _role(pattern: str) -> str | None:
    """What the words of a path say, the name of the file before its folders."""
    *folders, name = pattern.split("/")
    if name.lower().endswith(geojson.SUFFIXES):
        return "label"
    for part in [name[: len(name) - len(ending_of(name))], *reversed(folders)]:
        words = words_of(part)
        plain = [re.sub(r"\d+", "", word) for word in words]
        if LABEL_WORDS & {*words, *plain}:
            return "label"
        if IMAGE_WORDS & {*words, *plain}:
            return "image"
    return "image" if ending_of(name).lower() in (".jpg", ".jpeg") else None


def _images(pictured: list[Family]) -> list[Layout]:
    if len(pictured) == 1:
        return [Layout(pictured[0].pattern, "", pictured=tuple(pictured))]
    pattern, names = common_pattern([f.pattern for f in pictured], "{channel}")
    if pattern:
        return [Layout(pattern, "", channels=names, pictured=tuple(pictured))]
    return [Layout(f.pattern, "", pictured=(f,)) for f in pictured]


def _labels(drawn: list[Family], images: Layout) -> list[Layout]:
    """The layouts of some images with the families of labels."""
    patterns = [family.pattern for family in drawn]
    whole = replace(images, drawn=tuple(drawn))
    if len(drawn) > 1:
        observed, names = common_pattern(patterns, "{observer}")
        seen = [OBSERVER.fullmatch(name) is not None for name in names]
        if observed and all(seen):
            return [replace(whole, labels=observed, observers=names)]
        if observed and not any(seen):
            masks, names = common_pattern(patterns, "{structure}")
            return [replace(whole, labels=masks, structures=names)]
    return [
        replace(images, labels=f.pattern, drawn=(f,), name=_name_of(f.pattern))
        for f in drawn
    ]


def _name_of(pattern: str) -> str:
    """What the name of a label file says beside the case and words such as mask."""
    *_, name = pattern.split("/")
    stem = name[: len(name) - len(ending_of(name))].replace(CASE, "_")
    words = [word for word in re.split(r"[^A-Za-z0-9]+", stem) if word]
    kept = [word for word in words if not _is_plain(word)]
    return "" if OBSERVER.fullmatch("_".join(words)) else "_".join(kept)


def _is_plain(word: str) -> bool:
    return word.lower() in LABEL_WORDS | IMAGE_WORDS or word.isdecimal()


def common_pattern(patterns: list[str], part: str) -> tuple[str, tuple[str, ...]]:
    """Join patterns that differ in one word into one with an open part.

    Returns:
        The pattern and the word of each; an empty pattern if they differ in more, in
        folders, or if one of them lacks the word.
    """
    split = [PART.findall(pattern) for pattern in patterns]
    shortest = min(map(len, split))
    start = end = 0
    while start < shortest and len({words[start] for words in split}) == 1:
        start += 1
    while end < shortest - start and len({words[-1 - end] for words in split}) == 1:
        end += 1
    first = split[0]
    while start > 0 and _belongs(first[start - 1]):
        start -= 1
    while end > 0 and _belongs(first[-end]):
        end -= 1
    while start < shortest and first[start] in "-_. " and _same(split, start):
        start += 1
    while end < shortest - start and first[-1 - end] in "-_. " and _last(split, end):
        end += 1
    names = ["".join(words[start : len(words) - end]) for words in split]
    sound = all(name and "/" not in name and CASE not in name for name in names)
    if not sound or len(set(names)) < len(names):
        return "", ()
    tail = "".join(first[len(first) - end :]) if end else ""
    return "".join(first[:start]) + part + tail, tuple(names)


def _same(split: list[list[str]], place: int) -> bool:
    return len({words[place] for words in split}) == 1


def _last(split: list[list[str]], end: int) -> bool:
    return len({words[-1 - end] for words in split}) == 1


def _belongs(word: str) -> bool:
    """Whether a word that all have in common belongs to the names, as in kidney_left.

    Words such as mask do not, nor do endings, folders and the case.
    """
    return word not in ("/", CASE, ".") and not _is_plain(word)
