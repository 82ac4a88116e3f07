"""Families of files: paths that differ only in the name of the case."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from segpipe.images.formats.files import IMAGE_SUFFIXES
from segpipe.tools.importing.reading import hdf5

CASE = "{case}"
# Words of file names that tell what a file is, and never the name of a case.
LABELS = """label labels lab labelmap lbl lbls mask masks seg segs segm segmentation
    segmentations gt groundtruth ground truth annotation annotations annot annots manual
    reference ref gold standard goldstandard target targets roi rois contour contours
    delineation delineations cp ho observer rater reader annotator expert"""
IMAGES = """image images img imgs im ims picture pictures photo photos scan scans raw
    volume volumes vol vols data tr ts"""
KINDS = """ct cta cbct mr mri pet us t1 t1w t1c t1ce t2 t2w flair dwi adc sem em
    fundus"""
LABEL_WORDS, PLAIN_WORDS = frozenset(LABELS.split()), frozenset(IMAGES.split())
IMAGE_WORDS = PLAIN_WORDS | frozenset(KINDS.split())
SEPARATOR = re.compile(r"[-_. ]+")
MOST_ANCHORS = 40  # families that are tried as the one that names the cases


@dataclass(frozen=True, eq=False)
class Family:
    """Files whose paths differ only in the name of the case.

    Attributes:
        pattern: The path, with ``{case}`` for the name.
        files: The path of each case.
    """

    pattern: str
    files: Mapping[str, str]


def ending_of(path: str) -> str:
    """The ending of a file that can be imported, such as ``.nii.gz``."""
    for ending in (*IMAGE_SUFFIXES, *hdf5.SUFFIXES):
        if path.lower().endswith(ending):
            return path[-len(ending) :]
    return ""


def words_of(text: str) -> list[str]:
    """The words of a part of a path in small letters: imagesTr is images, tr.

    Numbers are words; a letter after a number, as in 1stHO, begins a new one.
    """
    plain = text.replace(CASE, " ")
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(\d+(?:st|nd|rd|th))", r" \1 ", plain)
    return [
        word.lower()
        for word in re.findall(r"[A-Za-z]+\d*[A-Za-z]*|\d[A-Za-z0-9]*", spaced)
    ]


def find_families(paths: list[str]) -> list[tuple[Family, ...]]:
    """Find how the paths fall into families with common cases, the best way first.

    A way is good that explains many files by few families; of equals, the one with the
    longest names of cases.

    Args:
        paths: Paths of images, with slashes.
    """
    by_pattern: dict[str, dict[str, str]] = defaultdict(dict)
    by_key: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        for key, pattern in _ways(path):
            if key not in by_pattern[pattern]:
                by_pattern[pattern][key] = path
                by_key[key][pattern] = path
    ranked = sorted(by_pattern, key=lambda p: (-len(by_pattern[p]), p))
    # A set of few cases has many patterns of one case each: those of long names.
    long = sorted(by_pattern, key=lambda p: (-max(map(len, by_pattern[p])), p))
    ways: dict[frozenset[str], tuple[Family, ...]] = {}
    for pattern in [*ranked[:MOST_ANCHORS], *long[:MOST_ANCHORS]]:
        keys = frozenset(by_pattern[pattern])
        if keys not in ways:
            ways[keys] = _way(keys, by_key)
    several = [way for way in ways.values() if len(way) > 1]
    return sorted(several, key=_merit, reverse=True)


def _way(
    keys: frozenset[str], by_key: Mapping[str, Mapping[str, str]]
) -> tuple[Family, ...]:
    """The families that the cases with these names have, without doubled files."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for key in sorted(keys):
        for pattern, path in by_key[key].items():
            found[pattern][key] = path
    seen: set[str] = set()
    families = []
    for pattern, files in sorted(found.items(), key=lambda p: (-len(p[1]), p[0])):
        if not seen & set(files.values()):
            seen |= set(files.values())
            families.append(Family(pattern, files))
    return tuple(sorted(families, key=lambda family: family.pattern))


def _merit(way: tuple[Family, ...]) -> tuple[int, int, int]:
    explained = sum(len(family.files) for family in way)
    names = {name for family in way for name in family.files}
    return explained, -len(way), sum(map(len, names))


def _ways(path: str) -> Iterator[tuple[str, str]]:
    """Names that the case of a path may have, each with the pattern that is left."""
    *folders, name = path.split("/")
    stem = name[: len(name) - len(ending_of(name))]
    keys = dict.fromkeys(folders)
    cuts = [match.span() for match in SEPARATOR.finditer(stem)]
    keys |= dict.fromkeys([stem, *(stem[:start] for start, _ in cuts)])
    keys |= dict.fromkeys(stem[end:] for _, end in cuts)
    for key in keys:
        if key and not _is_generic(key):
            pattern = _opened(path, key)
            if CASE in pattern:
                yield key, pattern
    word = re.match(r"([A-Za-z]+?)(\d.*)", stem)  # as in img2d
    if word and word[1].lower() in LABEL_WORDS | IMAGE_WORDS:
        yield word[2], f"{'/'.join([*folders, word[1]])}{CASE}{ending_of(name)}"


def _opened(path: str, key: str) -> str:
    """The path with ``{case}`` for the key wherever it is no part of a longer word."""
    parts, end = [], 0
    while (start := path.find(key, end)) >= 0:
        stop = start + len(key)
        inside = path[start - 1 : start].isalnum() or path[stop : stop + 1].isalnum()
        parts += [path[end:start], key if inside else CASE]
        end = stop
    return "".join(parts) + path[end:]


def _is_generic(key: str) -> bool:
    return all(word in LABEL_WORDS | PLAIN_WORDS for word in words_of(key))
