"""A project without test cases runs to its report, which says so."""

from pathlib import Path

from segpipe.dataset.case_files import read_prediction_record
from segpipe.dataset.split import read_split
from segpipe.evaluation.figures import read_figures, read_rows
from segpipe.evaluation.report.page import page_file
from segpipe.project.paths import Paths
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    report,
    split,
    verify,
    weigh,
)
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PLAN,
    PREDICT,
    PREPROCESS,
    SPLIT,
    TRAIN,
    VERIFY,
    WEIGH,
    changed,
    one_thread,
    train,
)

PARAMS = changed(
    TRAIN, base_channels=2, border_weights=False, epochs=1, steps_per_epoch=2
)


def test_a_project_without_test_cases_runs_to_its_report(tmp_path: Path) -> None:
    """Its user holds the test set elsewhere: all cases train and validate."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=4)
    verify.run(VERIFY, networks={"m": 3}, paths=paths)
    split.run(changed(SPLIT, test_fraction=0.0), paths=paths)
    plan.run(PLAN, models={"m": PARAMS}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(WEIGH, paths=paths)
    train(paths, PARAMS, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    shown = report.ReportParams(overlays=True)
    report.run(shown, models=["m"], folds=[0], paths=paths)

    found = read_split(paths.artifacts)
    assert found.test == ()
    assert all(len(fold.training + fold.validation) == 4 for fold in found.folds)
    assert read_prediction_record(paths.artifacts, "m").cases == ()
    figures = read_figures(paths.artifacts, "m")
    assert (figures.cases, figures.test["n"]) == (0, 0)
    assert read_rows(paths.artifacts, "m") == {}
    page = page_file(paths.artifacts).read_text(encoding="utf-8")
    assert "No case was tested" in page
