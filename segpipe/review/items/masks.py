"""Masks: the label maps of a registered segmenter and their figures, made once.

A segmenter that was trained in this project has them in ``artifacts/`` already. Others
segment the cases through the gate's cache.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.case_files import (
    prediction_record_file,
    predictions_folder,
    read_prediction,
    read_prediction_record,
)
from segpipe.evaluation.figures import Rows, read_rows, rows_file
from segpipe.project.origin.commit import require_unchanged
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.registry.gate.champion import CHAMPION, evaluated
from segpipe.registry.mlflow_model.fetch import Registered
from segpipe.registry.mlflow_model.provenance import Provenance
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import ensemble_digest, predictions_digest

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Side:
    """A registered segmenter whose masks are shown.

    Attributes:
        name: candidate or champion, for people.
        registered: Where its files are.
        provenance: Whom it trained on.
        segmenter: The segmenter.
    """

    name: str
    registered: Registered
    provenance: Provenance
    segmenter: Segmenter

    @property
    def digest(self) -> str:
        """Digest of its folds."""
        return ensemble_digest(list(self.registered.folds.values()))


@dataclass(frozen=True, eq=False)
class Masks:
    """The label maps and figures of one segmenter, in a project.

    Attributes:
        artifacts: Folder artifacts of the project; None if nothing was segmented.
        model: Name of the segmenter in it.
        names: The cases.
        rows: Figures by case and structure.
    """

    artifacts: Path | None = None
    model: str = ""
    names: frozenset[str] = frozenset()
    rows: Rows = field(default_factory=dict)

    def read(self, cases: CaseList, name: str) -> np.ndarray | None:
        """The label map of a case; None if it was not segmented."""
        if self.artifacts is None or name not in self.names:
            return None
        found = read_prediction(self.artifacts, self.model, cases, name)
        return None if found is None else found.array


@contextmanager
def segmented(
    side: Side | None,
    names: list[str],
    cases: CaseList,
    *,
    compute: Compute,
    paths: Paths,
) -> Iterator[Masks]:
    """Find the label maps and figures of a segmenter, or make them.

    Args:
        side: The segmenter; None for no masks.
        names: The cases to segment.
        cases: All cases of the project.
        compute: Device, precision and threads.
        paths: The project's folders.

    Raises:
        DataError: If an image or the params are wrong, or DVC knows other files of the
            segmenter in ``artifacts/`` than there are.
    """
    if side is None or not names:
        yield Masks()
        return
    known = _find_made(side, names, cases, paths)
    if known is not None:
        log.info("review: the %s is %s, which predict ran", side.name, known.model)
        yield known
        return
    with evaluated(
        side.segmenter,
        side.digest,
        cases,
        names,
        what=f"segment with the {side.name}",
        compute=compute,
        paths=paths,
    ) as project:
        rows = read_rows(project.artifacts, CHAMPION)
        yield Masks(project.artifacts, CHAMPION, frozenset(names), rows)


def _find_made(
    side: Side, names: list[str], cases: CaseList, paths: Paths
) -> Masks | None:
    """What predict and evaluate made of a segmenter that was trained here."""
    digest = predictions_digest(list(side.registered.folds.values()))
    for model in read_params(paths.params)["models"]:
        folder = predictions_folder(paths.artifacts, model)
        figures = rows_file(paths.artifacts, model)
        if not (prediction_record_file(folder).is_file() and figures.is_file()):
            continue
        record = read_prediction_record(paths.artifacts, model)
        if record.segmenter != digest or not set(names) <= set(record.cases):
            continue
        rows = read_rows(paths.artifacts, model)
        wanted = {(name, one) for name in names for one in cases.structures[1:]}
        if wanted <= rows.keys():
            for made in (folder, figures):
                require_unchanged(made, paths.root)
            return Masks(paths.artifacts, model, frozenset(names), rows)
    return None
