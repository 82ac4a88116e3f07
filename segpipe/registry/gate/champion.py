"""Champion: segment the project's test cases with it, and evaluate the label maps."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segpipe.dataset.case import Case, CaseList, cases_file
from segpipe.dataset.case_files import (
    prediction_file,
    predictions_folder,
)
from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.split import Split, split_file
from segpipe.evaluation.figures import Rows, read_rows
from segpipe.project.fingerprint import digest_file, fingerprint
from segpipe.project.params import read_section
from segpipe.project.paths import Paths
from segpipe.project.progress import track
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Segmenter
from segpipe.stages import evaluate
from segpipe.stages.predict import PredictParams, predict_case

CHAMPION = "champion"


def evaluate_champion(
    segmenter: Segmenter,
    digest: str,
    cases: CaseList,
    names: list[str],
    *,
    compute: Compute,
    paths: Paths,
) -> Rows:
    """Evaluate the champion with the stage evaluate, in a temporary project.

    Its label maps are kept in ``.cache/comparison``, so that each is computed once.

    Args:
        segmenter: The champion.
        digest: Digest of the champion.
        cases: All cases of the project.
        names: Names of the cases to segment and to evaluate.
        compute: Device, precision and threads.
        paths: The project's folders; its params.yaml says how to predict and evaluate.

    Returns:
        Figures by case and structure.

    Raises:
        DataError: If an image or the params are wrong.
    """
    if not names:
        return {}
    with evaluated(
        segmenter,
        digest,
        cases,
        names,
        what="segment with the champion",
        compute=compute,
        paths=paths,
    ) as work:
        return read_rows(work.artifacts, CHAMPION)


@contextmanager
def evaluated(
    segmenter: Segmenter,
    digest: str,
    cases: CaseList,
    names: list[str],
    *,
    what: str,
    compute: Compute,
    paths: Paths,
) -> Iterator[Paths]:
    """Segment and evaluate cases in a temporary project, with a model champion.

    ``what`` says so while it is done; the other arguments, and the errors, are those of
    ``evaluate_champion``.

    Yields:
        The folders of the project, which are removed when the block ends.
    """
    folder = paths.cache / "comparison"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as root:
        work = Paths(Path(root))
        work.data.symlink_to(paths.data.resolve(), target_is_directory=True)
        cases.write(cases_file(work.artifacts))
        split = Split(format_version=1, test=tuple(names), folds=())
        split.write(split_file(work.artifacts))
        goal = predictions_folder(work.artifacts, CHAMPION)
        steps = track(names, what, total=len(names), unit="case")
        _segment(segmenter, digest, cases, steps, compute, paths, goal)
        section = read_section(paths.params, "evaluate", evaluate.EvaluateParams)
        evaluate.run(section, model=CHAMPION, paths=work)
        yield work


def _segment(
    segmenter: Segmenter,
    digest: str,
    cases: CaseList,
    names: Iterable[str],
    compute: Compute,
    paths: Paths,
    goal: Path,
) -> None:
    """Write the champion's label maps into a folder, from the cache where possible."""
    params = read_section(paths.params, "predict", PredictParams)
    inference = params.inference(compute)
    cache = CaseCache(paths.cache / "comparison")
    goal.mkdir(parents=True)
    network = segmenter.spec.network.name
    for name in names:
        case = cases[name]
        made_from = _key(digest, network, params, compute, cases, case, paths)
        key = f"{digest[:16]}-{made_from}"
        if cache.fetch(key, goal):
            continue
        with tempfile.TemporaryDirectory(dir=goal.parent) as made:
            predict_case(Path(made), segmenter, cases, case, inference, paths)
            cache.store(key, Path(made))
        cache.fetch(key, goal)


def _key(
    digest: str,
    network: str,
    params: PredictParams,
    compute: Compute,
    cases: CaseList,
    case: Case,
    paths: Paths,
) -> str:
    """Key of a label map in the cache: digest of inputs, params, code and device."""
    return fingerprint(
        "segpipe.stages.predict",
        networks=[network],
        segmenter=digest,
        params=params.model_dump(mode="json"),
        compute=compute.to_json(),
        images=[digest_file(paths.data / file) for file in case.images],
        missing=case.missing,
        instances=case.instances is not None,
        file=prediction_file(Path(), cases, case.name).name,
        spacing_mm=cases.spacing_mm,
        unit=cases.unit,
    )
