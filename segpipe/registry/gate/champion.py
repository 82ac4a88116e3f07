"""The champion on the project's own cases: its label maps, each once, and figures."""

import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from segpipe.dataset.case import Case, CaseList, cases_file
from segpipe.dataset.case_files import (
    prediction_file,
    predictions_folder,
    read_case,
    write_prediction,
)
from segpipe.dataset.casework import CaseCache
from segpipe.dataset.split import Split, split_file
from segpipe.evaluation.figures import Rows, read_rows
from segpipe.project.fingerprint import digest_file, fingerprint
from segpipe.project.params import read_section
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Inference, Segmenter
from segpipe.stages import evaluate
from segpipe.stages.predict import PredictParams

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
    """The champion's figures, by evaluate itself in a project of its own.

    Its label maps are kept in ``.cache/comparison``: each is made once.

    Args:
        segmenter: The champion.
        digest: Of the champion.
        cases: Of the project.
        names: Of the cases to segment and to evaluate.
        compute: Where and how.
        paths: Of the project; its params.yaml says how to predict and evaluate.

    Returns:
        By case and structure.

    Raises:
        DataError: If an image or the params are wrong.
    """
    if not names:
        return {}
    folder = paths.cache / "comparison"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as root:
        work = Paths(Path(root))
        work.data.symlink_to(paths.data.resolve(), target_is_directory=True)
        cases.write(cases_file(work.artifacts))
        split = Split(format_version=1, test=tuple(names), folds=())
        split.write(split_file(work.artifacts))
        goal = predictions_folder(work.artifacts, CHAMPION)
        _segment(segmenter, digest, cases, names, compute, paths, goal)
        section = read_section(paths.params, "evaluate", evaluate.EvaluateParams)
        evaluate.run(section, model=CHAMPION, paths=work)
        return read_rows(work.artifacts, CHAMPION)


def _segment(
    segmenter: Segmenter,
    digest: str,
    cases: CaseList,
    names: list[str],
    compute: Compute,
    paths: Paths,
    goal: Path,
) -> None:
    """The champion's label maps, each made once."""
    params = read_section(paths.params, "predict", PredictParams)
    inference = Inference(**params.model_dump(), compute=compute)
    cache = CaseCache(paths.cache / "comparison")
    goal.mkdir(parents=True)
    for name in tqdm(names, desc="champion", unit="case", disable=None):
        case = cases[name]
        key = f"{digest[:16]}-{_key(digest, params, compute, cases, case, paths)}"
        if cache.fetch(key, goal):
            continue
        label = segmenter.segment(read_case(paths.data, cases, case), inference)
        with tempfile.TemporaryDirectory(dir=goal.parent) as made:
            write_prediction(Path(made), cases, name, label)
            cache.store(key, Path(made))
            shutil.move(prediction_file(Path(made), cases, name), goal)


def _key(
    digest: str,
    params: PredictParams,
    compute: Compute,
    cases: CaseList,
    case: Case,
    paths: Paths,
) -> str:
    """What a label map is made from: inputs by content, params, code, device."""
    return fingerprint(
        "segpipe.stages.predict",
        segmenter=digest,
        params=params.model_dump(mode="json"),
        compute=compute.to_json(),
        images=[digest_file(paths.data / file) for file in case.images],
        file=prediction_file(Path(), cases, case.name).name,
        spacing_mm=cases.spacing_mm,
        unit=cases.unit,
    )
