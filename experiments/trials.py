"""Trials: trainings that differ in one thing, run by the stages that users run.

A finished trial is identified by all its inputs, so that an interrupted experiment
continues, and a finished one only writes its page again.
"""

import argparse
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import lock_file, split_file
from segpipe.evaluation.figures import read_figures, read_rows
from segpipe.planning.params import PlanParams
from segpipe.planning.sides.assignment import SplitParams
from segpipe.project.documents import write_json, write_text
from segpipe.project.fingerprint import digest_file, fingerprint
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, ComputeParams, build_compute
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    split,
    train,
    verify,
    weigh,
)
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.training.task.section import TrainParams

log = logging.getLogger(__name__)
HOME = Path(__file__).parents[1]
# Starting processes takes longer than the work on small cases.
ONE_PROCESS = {
    name: {"workers": 1}
    for name in ("verify", "plan", "preprocess", "weigh", "evaluate")
}
HIPPOCAMPUS = ImportOptions(
    images="images", labels="labels", structures={"anterior": 1, "posterior": 2}
)
PAIRS = "pairs"  # patient and Dice (null: rightly nothing) of each structure and case
Figures = dict[str, Any]  # name of a figure to its value, and PAIRS
Found = dict[str, list[Figures]]  # arm to the figures of each seed


@dataclass(frozen=True)
class Sections:
    """The sections of a params.yaml with one training, which trials change."""

    compute: ComputeParams
    verify: verify.VerifyParams
    split: SplitParams
    plan: PlanParams
    preprocess: preprocess.PreprocessParams
    weigh: weigh.WeighParams
    annotate: annotate.AnnotateParams
    train: TrainParams
    predict: predict.PredictParams
    evaluate: evaluate.EvaluateParams


def read_sections(preset: str, model: str, changes: dict[str, Any]) -> Sections:
    """Read the sections of a preset, changed by such as ``{"split": {"seed": 2}}``."""
    where = HOME / "presets" / f"{preset}.yaml"
    document = read_params(where)
    document["train"] = document["train"][model]
    document = merged(document, changes)
    kinds = Sections.__annotations__
    return Sections(
        **{
            name: parse_section(kind, document[name], where=f"{where}, {name}")
            for name, kind in kinds.items()
        }
    )


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The document with the changes merged into it, section by section."""
    result = dict(document)
    for name, value in changes.items():
        inner = result.get(name)
        both = isinstance(value, dict) and isinstance(inner, dict)
        result[name] = merged(inner, value) if both and inner else value
    return result


def changed(sections: Sections, **changes: dict[str, Any]) -> Sections:
    """The sections with changes merged in, checked again."""
    made = {}
    for name, change in changes.items():
        old = getattr(sections, name)
        document = merged(old.model_dump(mode="json"), change)
        made[name] = parse_section(type(old), document, where=name)
    return replace(sections, **made)


@dataclass(frozen=True)
class Trial:
    """One training and its test.

    Attributes:
        arm: What distinguishes it from other trials.
        seed: Seed of the training; the name enters its random numbers, too.
        sections: All sections that it runs with.
    """

    arm: str
    seed: int
    sections: Sections

    @property
    def name(self) -> str:
        """Name of the trial's files."""
        words = self.arm.replace(",", "").lower().split()
        return "-".join([*words, str(self.seed)])


def import_whole(source: Path, data: Path, options: ImportOptions) -> None:
    """Import a folder into data/, unless data/ is there."""
    if not data.is_dir():
        import_dataset(source, data, options)


def import_some(
    source: Path, data: Path, options: ImportOptions, sides: dict[str, str]
) -> None:
    """Import some cases of a folder into data/ with their split, unless it is there.

    Args:
        source: Folder that contains the folders images and labels.
        data: Folder to write.
        options: Options of the import.
        sides: Case to ``test`` or the number of a fold.
    """
    if data.is_dir():
        return
    with tempfile.TemporaryDirectory() as name:
        for folder in ("images", "labels"):
            (Path(name) / folder).mkdir()
            for file in (source / folder).resolve().iterdir():
                if file.name.split(".")[0] in sides:
                    (Path(name) / folder / file.name).symlink_to(file)
        folders = replace(options, images="images", labels="labels")
        import_dataset(Path(name), data, folders)
    rows = [f"{case},{side}\n" for case, side in sides.items()]
    write_text(data / "splits.csv", "patient,side\n" + "".join(rows))


def prepare(paths: Paths, sections: Sections) -> None:
    """Run the stages that do not depend on the network: verify and split.

    The split is that of the params alone, whatever was split here before.
    """
    lock_file(paths.root).unlink(missing_ok=True)
    split_file(paths.artifacts).unlink(missing_ok=True)
    verify.run(
        sections.verify,
        networks={"trial": sections.train.dimensions},
        paths=paths,
    )
    split.run(sections.split, paths=paths)


def train_and_test(trial: Trial, compute: Compute, paths: Paths) -> dict[str, Any]:
    """Run the stages from plan to evaluate; returns the figures, with PAIRS."""
    sections, model = trial.sections, trial.name
    plan.run(sections.plan, models={model: sections.train}, paths=paths)
    preprocess.run(sections.preprocess, paths=paths)
    annotate.run(sections.annotate, paths=paths)
    weigh.run(sections.weigh, paths=paths)
    train.run(sections.train, model=model, fold=0, compute=compute, paths=paths)
    predict.run(sections.predict, model=model, folds=[0], compute=compute, paths=paths)
    evaluate.run(sections.evaluate, model=model, paths=paths)
    cases, rows = read_cases(paths.artifacts), read_rows(paths.artifacts, model)
    pairs = [
        (cases[case].patient, None if math.isnan(row["dice"]) else row["dice"])
        for (case, _), row in sorted(rows.items())
    ]
    return {**read_figures(paths.artifacts, model).model_dump(), PAIRS: pairs}


def run_arms(
    base: Sections,
    arms: dict[str, dict[str, Any]],
    figures: Callable[[dict[str, Any]], Figures],
    *,
    paths: Paths,
    seeds: Iterable[int],
) -> Found:
    """Train each arm with each seed on the same cases, and test it.

    Args:
        base: Sections that all arms share.
        arms: Name of an arm to its changes of the sections.
        figures: Selects figures from those of evaluate and ``minutes``, the time of
            all stages.
        paths: Folders of the scratch project.
        seeds: Seeds of the trainings.
    """

    def work(trial: Trial, compute: Compute) -> Figures:
        began = time.perf_counter()
        document = train_and_test(trial, compute, paths)
        document["minutes"] = (time.perf_counter() - began) / 60
        return {**figures(document), PAIRS: document[PAIRS]}

    trials = [
        Trial(arm, seed, changed(base, **merged(changes, {"train": {"seed": seed}})))
        for seed in seeds
        for arm, changes in arms.items()
    ]
    return run_trials(trials, work, paths=paths)


def run_trials(
    trials: Sequence[Trial],
    work: Callable[[Trial, Compute], Figures],
    *,
    paths: Paths,
) -> Found:
    """Figures of each arm, one set a seed; finished trials are not run again."""
    found: Found = {}
    for number, trial in enumerate(trials, start=1):
        key = trial_key(trial, paths)
        file = paths.root / "trials" / trial.name / f"{key[:20]}.json"
        if not file.is_file():
            log.info("trial %d of %d: %s", number, len(trials), trial.name)
            compute = build_compute(trial.sections.compute)
            write_json(file, work(trial, compute))
        figures: Figures = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault(trial.arm, []).append(figures)
    return found


def of_one_volume(row: Figures) -> Figures:
    """The figures with all cases counted as one patient: parts of one volume."""
    return {**row, PAIRS: [("volume", dice) for _, dice in row[PAIRS]]}


def trial_key(trial: Trial, paths: Paths) -> str:
    """Fingerprint of all that a trial's figures depend on: code, data and sections."""
    return fingerprint(
        "segpipe.tools.densify",
        data={
            str(file.relative_to(paths.data)): digest_file(file)
            for file in sorted(paths.data.rglob("*"))
            if file.is_file()
        },
        sections={
            name: getattr(trial.sections, name).model_dump(mode="json")
            for name in Sections.__annotations__
        },
    )


@dataclass(frozen=True)
class Arguments:
    """Arguments of an experiment's command line.

    Attributes:
        data: Folder of the data set.
        paths: Folders of the scratch project.
        seeds: Seeds of the trainings.
        more: Options that this experiment alone has.
    """

    data: Path
    paths: Paths
    seeds: range
    more: argparse.Namespace


def parse_arguments(
    name: str, describe: str, example: str, more: Mapping[str, Mapping[str, Any]] = {}
) -> Arguments:
    """Read data folder, working folder and number of seeds from the command line.

    Args:
        name: Name of the experiment's module.
        describe: What it does.
        example: Arguments of an example.
        more: Options of this experiment alone, with the keywords of ``add_argument``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=describe,
        epilog=f"example: python -m experiments.{name} {example}",
    )
    parser.add_argument("data", type=Path, help="the data set's folder")
    parser.add_argument("--work", type=Path, help="default: .experiments/NAME")
    parser.add_argument("--seeds", type=int, default=3, help="trainings an arm")
    for option, keywords in more.items():
        parser.add_argument(option, **keywords)
    given = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for package in ("segpipe", "experiments"):
        level = os.environ.get("SEGPIPE_LOG", "INFO")
        logging.getLogger(package).setLevel(level)
    work = given.work or HOME / ".experiments" / name
    return Arguments(given.data, Paths(work), range(1, given.seeds + 1), given)
