"""verify: prove signatures, chain and anchors, and name the first broken link."""

import os
from dataclasses import dataclass

from segpipe.approval.chain.anchors import Anchor, find_repository, parse_anchor
from segpipe.approval.chain.verification import verify as verify_chain
from segpipe.approval.protocol import reviews_root
from segpipe.approval.records import AnchorNote, Record
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import anchors_of_project


@dataclass(frozen=True)
class Proof:
    """What was verified, in words.

    Attributes:
        lines: The words.
        whole: Whether nothing is wrong.
    """

    lines: tuple[str, ...]
    whole: bool


def verify(heads: list[str], paths: Paths) -> Proof:
    """Verify the chain against all anchors that can be reached.

    Args:
        heads: NUMBER:DIGEST as they stand elsewhere: in a dossier, on paper.
        paths: The project's folders.

    Raises:
        DataError: If a head is written wrongly, or git does not answer.
    """
    root = reviews_root(paths.root)
    given = [parse_anchor(text, f"--head {text[:20]}") for text in heads]
    records = verify_chain(root).records
    tags, about = _read_tags(records, paths)
    noted = _noted(records)
    chain = verify_chain(root, [*given, *tags, *noted], git=True)
    git = "all commits of git that hold records"
    if find_repository(root) is None:
        git = "no git, which is not there"
    counts = (
        f"compared with {about}, {git}, {len(noted)} notes in the chain and "
        f"{len(given)} of --head"
    )
    if chain.head is None and not chain.faults:
        return Proof((f"{root / 'reviews'}: no records yet", counts), whole=True)
    if chain.faults:
        lines = ("the first broken link:", *chain.faults, counts)
        return Proof(lines, whole=False)
    assert chain.head is not None
    return Proof(
        (
            f"{len(chain.records)} records: each follows the one before, and is signed "
            "by a person who might",
            counts,
            f"head {chain.head.text}; commit reviews/ and push it, or note the head "
            "where others keep it",
        ),
        whole=True,
    )


def _read_tags(
    records: tuple[Record, ...], paths: Paths
) -> tuple[tuple[Anchor, ...], str]:
    """What MLflow knows, and how much that is in words; no database is made for it."""
    if not os.environ.get("MLFLOW_TRACKING_URI") and not paths.store.is_file():
        return (), "no MLflow, which is not there"
    try:
        tags = anchors_of_project(_names_in(records), paths)
    except DataError as error:
        return (), f"no MLflow, which did not answer ({error})"
    return tags, f"{len(tags)} tags in MLflow"


def _names_in(records: tuple[Record, ...]) -> set[str]:
    """Names of the registered models that records speak of."""
    subjects = (getattr(one.content, "subject", None) for one in records)
    return {one.name for one in subjects if one is not None}


def _noted(records: tuple[Record, ...]) -> list[Anchor]:
    """What later records say of the head."""
    return [
        Anchor(f"record {one.number}", one.content.head, one.content.digest)
        for one in records
        if isinstance(one.content, AnchorNote)
    ]
