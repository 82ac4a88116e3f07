"""No stage reads all cases, or a document of all cases, again for each case.

Counts hold it, not seconds: how often a stage opens one file or lists one folder does
not depend on the number of cases, and neither does what is sent to a worker with a
case.
"""

import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from segpipe.dataset.casework import digests
from segpipe.dataset.layout import read_dataset
from segpipe.project.paths import Paths
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    preprocess,
    split,
    verify,
    weigh,
)
from tests.support.phantoms import write_dataset
from tests.support.predicted import predict_references
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PLAN,
    PREPROCESS,
    SPLIT,
    VERIFY,
    WEIGH,
    changed,
)

STAGES: dict[str, Callable[..., None]] = {
    "verify": partial(verify.run, VERIFY, networks={}),
    "split": partial(split.run, SPLIT),
    "plan": partial(plan.run, PLAN, models={}),
    "preprocess": partial(preprocess.run, PREPROCESS),
    "annotate": partial(annotate.run, ANNOTATE),
    "weigh": partial(weigh.run, WEIGH),
    "evaluate": partial(evaluate.run, EVALUATE, model="m"),
}
MOST = 6  # times that a stage opens one file: digest, header, spacing, voxels, copy
CASES = 20  # of which 8 are tested, more than MOST


class Opened:
    """What this process opens and lists while it is counted."""

    counts: ClassVar[Counter[str] | None] = None

    @classmethod
    def note(cls, event: str, given: tuple[Any, ...]) -> None:
        """Count a path; an audit hook stays until the process ends."""
        if cls.counts is None or event not in ("open", "os.listdir", "os.scandir"):
            return
        if isinstance(given[0], str | Path):
            cls.counts[str(given[0])] += 1


sys.addaudithook(Opened.note)


@contextmanager
def counting(root: Path) -> Iterator[Counter[str]]:
    """Count how often each path of a project is opened or listed inside the block."""
    found: Counter[str] = Counter()
    every: Counter[str] = Counter()
    Opened.counts = every
    try:
        yield found
    finally:
        Opened.counts = None
        ours = {path: n for path, n in every.items() if path.startswith(str(root))}
        found.update(ours)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Counter[str]]]:
    """How often each stage opens each path: at first, again, with one more case."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    found: list[dict[str, Counter[str]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "SETTLED_NS", -1_000_000_000)  # files are trusted now
        for cases in (CASES, CASES, CASES + 1):
            if not found or cases > CASES:
                write_dataset(paths.data, dimensions=2, cases=cases, instances=True)
            found.append({})
            for name, stage in STAGES.items():
                if name == "evaluate":
                    predict_references(paths)
                with counting(paths.root) as opened:
                    stage(paths=paths)
                found[-1][name] = opened
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_opens_no_file_more_often_where_there_are_more_cases(
    stage: str, rounds: list[dict[str, Counter[str]]]
) -> None:
    for found in rounds:
        often = {path: n for path, n in found[stage].items() if n > MOST}

        assert found[stage]
        assert often == {}


@pytest.mark.parametrize("stage", ["verify", "plan", "preprocess"])
def test_known_cases_cost_no_look_into_the_data(
    stage: str, rounds: list[dict[str, Counter[str]]]
) -> None:
    """Only the images that plan resamples on trial are read again."""
    again = {
        path
        for path in rounds[1][stage]
        if path.endswith(".png") and "instancesTr" not in path
    }

    assert len(again) <= (8 if stage == "plan" else 0)


@pytest.mark.usefixtures("workers_at_once")
def test_what_is_sent_with_a_case_is_less_than_all_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole data set went with each case: 8,000 took 176 s."""
    sent: list[int] = []
    dumps = ForkingPickler.dumps

    def count(thing: Any, protocol: int | None = None) -> Any:
        made = dumps(thing, protocol)
        sent.append(len(made))
        return made

    monkeypatch.setattr(ForkingPickler, "dumps", count)
    paths = Paths(tmp_path)
    write_dataset(paths.data, dimensions=2, cases=CASES)
    verify.run(changed(VERIFY, workers=2), networks={}, paths=paths)

    every = len(pickle.dumps(read_dataset(paths.data).cases))
    assert len(sent) >= CASES
    assert max(sent) < every / 2
