"""What preparation writes for each case: prepared arrays, class counts, the index."""

from typing import Literal

from segpipe.project.documents import Document


class ClassCounts(Document):
    """counts.json of weigh: how many annotated voxels of each class a case has."""

    format_version: Literal[1]
    counts: dict[str, tuple[int, ...]]


class CaseIndex(Document):
    """index.json of a stage that works case by case: a digest of what it wrote."""

    format_version: Literal[1]
    cases: dict[str, str]
