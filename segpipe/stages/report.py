"""report: write a page and a picture with all models side by side."""

import logging
from dataclasses import replace

import numpy as np

from segpipe.dataset.case import CaseList, pseudonyms, read_cases
from segpipe.dataset.case_files import read_prediction_record
from segpipe.dataset.description import read_description
from segpipe.dataset.split import Split, lock_file, read_split
from segpipe.evaluation.ceiling import Ceiling, find_ceilings
from segpipe.evaluation.figures import read_figures, read_rows
from segpipe.evaluation.observers import find_agreements
from segpipe.evaluation.report.about import (
    build_about,
    build_figures,
    build_key,
    build_subtitle,
)
from segpipe.evaluation.report.baselines.measuring import measure_baselines
from segpipe.evaluation.report.baselines.methods import Method
from segpipe.evaluation.report.contest import (
    Contest,
    build_pairs,
    compare_models,
)
from segpipe.evaluation.report.page import (
    FIGURES,
    Files,
    Part,
    build_page,
    page_file,
    write_report,
)
from segpipe.evaluation.report.pictures.overlays import plot_overlay, plot_summary
from segpipe.evaluation.report.pictures.panels import ShownCase, build_panels
from segpipe.evaluation.report.pictures.views import build_exhibit
from segpipe.evaluation.report.plots import Curve
from segpipe.evaluation.report.ranking import (
    Scores,
    build_cases,
    choose_shown,
    mean_dice,
    rank_cases,
    score_cases,
    worst_structures,
)
from segpipe.evaluation.report.tables import (
    Evaluated,
    build_cards,
    build_comparison,
    build_folds,
    build_groups,
    build_worst,
)
from segpipe.evaluation.report.trained import build_training
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import data_version, describe_commit
from segpipe.project.origin.study import code_tags
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.spec import read_combined_spec
from segpipe.training.record import (
    PRECISION,
    WORDS,
    name_figure,
    read_history,
    read_kept_row,
    read_record,
    segmenter_folder,
    training_folder,
)

log = logging.getLogger(__name__)
UNTESTED = (
    "The split has no test case (split.test_fraction: 0), so there are no figures of "
    "unseen cases here: those below are of the validation cases, which chose the epoch "
    "and the rules. Segment the test set that is held elsewhere with `segpipe segment`."
)


class ReportParams(Params):
    """Section report of params.yaml.

    Attributes:
        overlays: Whether to show images of the worst, the median and the best case.
            They are images of patients under a pseudonym: mind who will see the page.
        baselines: Methods without training that stand beside the models.
    """

    overlays: bool
    # Never in the params of projects that were written before it.
    baselines: tuple[Method, ...] = ()


def run(
    params: ReportParams, *, models: list[str], folds: list[int], paths: Paths
) -> None:
    """Write artifacts/report: a page that needs nothing else, and its pictures.

    Only the listed models and folds are read; folders of others are ignored.

    Raises:
        DataError: If a model is not trained or not evaluated, or bears the name of a
            baseline.
    """
    _check_names(params, models)
    cases, split = read_cases(paths.artifacts), read_split(paths.artifacts)
    evaluated = {model: _read(paths, model, folds) for model in models}
    baselines = measure_baselines(
        params.baselines,
        cases,
        split,
        folds=folds,
        like=evaluated[models[0]].figures,
        data=paths.data,
    )
    curves = [_curve(paths, model, fold) for model in models for fold in folds]
    scores = score_cases(evaluated, cases, split)
    drawn = worst_structures(scores)
    names = pseudonyms([case.name for case in cases.cases])
    ranked = rank_cases(scores, split)
    shown = [
        _show(why, case, evaluated, scores, cases, split, paths)
        for why, case in choose_shown(ranked)
        if params.overlays
    ]
    contest = Contest({}, None)
    if split.test:
        patients = [cases[case].patient for case in split.test]
        contest = compare_models(scores, patients)
    parts = [
        _about(cases, split, models, folds, paths),
        *_tested(
            evaluated, baselines, contest, cases, split, folds, drawn, scores, paths
        ),
        build_training(
            evaluated,
            [_drawn(c, drawn) for c in curves],
            folds,
            [line for model in models for line in _doubts(paths, model, folds)],
        ),
        *build_folds(
            {model: [_best(paths, model, fold) for fold in folds] for model in models}
        ),
        *(build_groups(evaluated) if split.test else []),
        *(
            [build_worst(evaluated, list(split.test), names, cases)]
            if split.test
            else []
        ),
        *_overlay_part(shown),
    ]
    page = build_page(
        title="Segmentation report",
        subtitle=build_subtitle(cases, split),
        cards=build_cards(evaluated, contest.best) if split.test else [],
        parts=parts,
        footer=evaluated[models[0]].figures.policy,
    )
    summary = plot_summary(
        f"{len(models)} model{'s' * (len(models) > 1)} on {len(split.test)} test cases",
        curves=curves,
        scores=scores if split.test else {},
        exhibit=shown[(len(shown) - 1) // 2].exhibit if shown else None,
    )
    files = Files(
        summary=summary,
        pictures={one.name: plot_overlay(one.title, one.exhibit) for one in shown},
        figures=build_figures(
            {
                name: (one.figures, one.rows)
                for name, one in {**evaluated, **baselines}.items()
            },
            names,
        ),
        key=build_key(cases, split, names),
    )
    write_report(paths.artifacts, page, parts, files)
    log.info("report: %s", page_file(paths.artifacts))


def _check_names(params: ReportParams, models: list[str]) -> None:
    """Refuse a model whose column would have the name of another one."""
    both = sorted({*models} & {*params.baselines})
    if both:
        raise DataError(
            "params.yaml, models: expected names other than those of report.baselines, "
            f"found {', '.join(both)}; rename the model there and in train"
        )


def _against(
    evaluated: dict[str, Evaluated],
    baselines: dict[str, Evaluated],
    cases: CaseList,
    split: Split,
) -> list[Part]:
    """The differences between each model and each method without training."""
    if not baselines:
        return []
    contest = compare_models(
        score_cases({**evaluated, **baselines}, cases, split),
        [cases[case].patient for case in split.test],
        baselines=list(baselines),
    )
    return build_pairs(contest, heading="Does a network earn its place?")


def _tested(
    evaluated: dict[str, Evaluated],
    baselines: dict[str, Evaluated],
    contest: Contest,
    cases: CaseList,
    split: Split,
    folds: list[int],
    drawn: list[str],
    scores: Scores,
    paths: Paths,
) -> list[Part]:
    """The parts that compare the models on test cases; or a line that there is none."""
    if not split.test:
        return [Part("No case was tested", UNTESTED)]
    ceilings = _find_ceilings(evaluated, folds, paths)
    compared = build_comparison(
        evaluated, ceilings, cases, contest.best, find_agreements(paths), baselines
    )
    return [
        replace(compared, links={"All figures as CSV": FIGURES}),
        build_cases(drawn, scores),
        *build_pairs(contest),
        *_against(evaluated, baselines, cases, split),
    ]


def _read(paths: Paths, model: str, folds: list[int]) -> Evaluated:
    figures = read_figures(paths.artifacts, model)
    record = read_record(training_folder(paths.artifacts, model, folds[0]))
    return Evaluated(
        figures, read_rows(paths.artifacts, model), record.params, record.compute
    )


def _about(
    cases: CaseList, split: Split, models: list[str], folds: list[int], paths: Paths
) -> Part:
    return build_about(
        cases,
        split,
        name=read_description(paths.data).name,
        version=data_version(paths.root),
        commit=describe_commit(paths.root, written=lock_file(paths.root)),
        code=code_tags(),
        predicted={m: read_prediction_record(paths.artifacts, m) for m in models},
        folds=folds,
    )


def _show(
    why: str,
    case: str,
    evaluated: dict[str, Evaluated],
    scores: Scores,
    cases: CaseList,
    split: Split,
    paths: Paths,
) -> ShownCase:
    """A test case with its pictures and the Dice of each model and structure."""
    number = pseudonyms([one.name for one in cases.cases])[case]
    dice = mean_dice(scores, split.test.index(case))
    return ShownCase(
        why.lower(),
        f"{why} case: {number}, mean Dice {dice:.3f}",
        build_exhibit(cases, case, models=list(evaluated), paths=paths),
        {
            model: {name: one.rows[case, name]["dice"] for name in scores}
            for model, one in evaluated.items()
        },
    )


def _find_ceilings(
    evaluated: dict[str, Evaluated], folds: list[int], paths: Paths
) -> dict[str, Ceiling]:
    """The ceilings of the trained models."""
    specs = {}
    for model in evaluated:
        folders = [
            segmenter_folder(training_folder(paths.artifacts, model, fold))
            for fold in folds
        ]
        specs[model] = read_combined_spec(folders)
    iou = next(iter(evaluated.values())).figures.instance_iou
    return find_ceilings(specs, instance_iou=iou, paths=paths)


def _curve(paths: Paths, model: str, fold: int) -> Curve:
    rows = read_history(training_folder(paths.artifacts, model, fold))

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows])

    named = {name_figure(one): column(one) for one in rows[0]}
    return Curve(
        model=model,
        fold=fold,
        epoch=column("epoch"),
        training_loss=column("training_loss"),
        validation_dice=column("validation_dice"),
        others={name: of for name, of in named.items() if name is not None},
    )


def _best(paths: Paths, model: str, fold: int) -> dict[str, float]:
    """Validation figures of the epoch whose network was kept, by name."""
    kept = read_kept_row(training_folder(paths.artifacts, model, fold))
    return {
        name: value
        for column, value in kept.items()
        if (name := name_figure(column)) is not None
    }


def _drawn(curve: Curve, structures: list[str]) -> Curve:
    """A curve without the structures that are not drawn."""
    drawn = {WORDS[PRECISION], *(f"Dice, {name}" for name in structures)}
    kept = {name: of for name, of in curve.others.items() if name in drawn}
    return replace(curve, others=kept)


def _doubts(paths: Paths, model: str, folds: list[int]) -> list[str]:
    """What the validation of a model's folds could not judge, in sentences."""
    return [
        f" {model}, fold {fold}: {warning}."
        for fold in folds
        for warning in read_record(
            training_folder(paths.artifacts, model, fold)
        ).warnings
    ]


def _overlay_part(shown: list[ShownCase]) -> list[Part]:
    """The part with the panels of the shown cases; none if no case is shown."""
    if not shown:
        return []
    views = shown[0].exhibit.views
    areas = "false positives and false negatives of all models together"
    place = (
        f"Each plane opens at the slice with the largest area of {areas}. Drag the "
        "slider, or turn the wheel after a click, for its neighbours. "
        if len(views) > 1
        else ""
    )
    return [
        Part(
            "What it looks like",
            f"{place}Solid lines are predictions, in the colours of the legend. Dashed "
            "lines are the reference: coloured in its own column, thin and white over "
            "predictions. Zoom with + and -, or with Ctrl and the wheel.",
            panels=tuple(build_panels(shown)),
        )
    ]
