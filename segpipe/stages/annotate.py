"""annotate: choose which voxels count as labelled: all, or some slices."""

import hashlib
import logging
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int16

from segpipe.dataset.prepared import (
    CaseIndex,
    LabelledShares,
    index_file,
    prepared_case,
    save_known_label,
    shares_file,
)
from segpipe.project.documents import write_folder
from segpipe.project.fingerprint import fingerprint
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


class AnnotateParams(Params):
    """Section annotate of params.yaml.

    Attributes:
        rule: ``all`` voxels; or slices ``evenly`` spread over the volume, by
            ``content`` (those with the most foreground, not next to each other as long
            as others remain), or at ``random``.
        slices: Number of slices across i, j and k.
        seed: Seed of random choices.
    """

    rule: Literal["all", "evenly", "content", "random"]
    slices: tuple[int, int, int]
    seed: int


def run(params: AnnotateParams, *, paths: Paths) -> None:
    """Write artifacts/annotate: known labels, the labelled shares and an index.

    A case of which voxels are hidden gets a label in which they are negative. Voxels
    that the data set marks as not annotated never count. A 2-D image is annotated as a
    whole, whatever the rule.

    Source:
        Çiçek 2016, arXiv:1606.06650, section 3.1: slices in three directions.
    """
    index = CaseIndex.read(index_file(paths.artifacts / "preprocess")).cases
    keys, shares = {}, {}
    with write_folder(paths.artifacts / "annotate") as part:
        for name, digest in index.items():
            label = np.array(prepared_case(paths.artifacts, name).label)
            annotated = choose_voxels(label, params, case=name)
            if (annotated != (label >= 0)).any():
                known = np.where(annotated, label, -1).astype(np.int16)
                save_known_label(part, name, known)
            shares[name] = float(annotated.mean())
            keys[name] = fingerprint(
                __name__, prepared=digest, params=params.model_dump(mode="json")
            )
        LabelledShares(format_version=1, shares=shares).write(shares_file(part))
        CaseIndex(format_version=1, cases=keys).write(index_file(part))
    log.info(
        "annotate: %.1f %% of the voxels count as labelled",
        100 * sum(shares.values()) / len(shares),
    )


def choose_voxels(
    label: Int16[np.ndarray, "i j k"], params: AnnotateParams, *, case: str
) -> Bool[np.ndarray, "i j k"]:
    """Choose the voxels of a case that count as labelled.

    Args:
        label: Class indices; negative where not annotated.
        params: The section annotate.
        case: Name of the case; random slices differ between cases.
    """
    known = label >= 0
    if params.rule == "all" or label.shape[2] == 1:
        return known
    digest = hashlib.sha256(f"{params.seed}\0{case}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    chosen = np.zeros_like(known)
    for axis, wanted in enumerate(params.slices):
        others = tuple(other for other in range(3) if other != axis)
        has_label = np.flatnonzero(known.any(others))
        content = (label > 0).sum(others)[has_label]
        places = _choose(len(has_label), wanted, content, params.rule, rng)
        np.moveaxis(chosen, axis, 0)[has_label[places]] = True
    return chosen & known


def _choose(
    available: int,
    wanted: int,
    content: np.ndarray,
    rule: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Choose which of the available slices are annotated, by their places."""
    wanted = min(wanted, available)
    if rule == "random":
        return np.sort(rng.choice(available, wanted, replace=False))
    if rule == "evenly":
        return ((np.arange(wanted) + 0.5) * available / max(1, wanted)).astype(np.intp)
    chosen: list[int] = []
    gap = available // (2 * wanted) if wanted else 0
    while len(chosen) < wanted:
        for place in np.argsort(-content, kind="stable"):
            if all(abs(place - other) > gap for other in chosen):
                chosen.append(int(place))
            if len(chosen) == wanted:
                break
        gap = gap - 1 if gap > 0 else 0
    return np.array(sorted(chosen), dtype=np.intp)
