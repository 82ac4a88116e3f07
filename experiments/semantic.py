"""Structures, found by segpipe and by nnU-Net on the same files in equal CPU seconds.

Source:
    Isensee 2021, doi:10.1038/s41592-020-01008-z (nnU-Net).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.arms import Run
from experiments.pages import write_pages
from experiments.semantic_arms import run_nnunet, run_segpipe
from experiments.semantic_picture import draw_case
from experiments.semantic_sets import (
    SETS,
    SemanticSet,
    observer,
    patient_of,
    read_sides,
    read_structures,
    write_set,
)
from experiments.trials import PAIRS, Arguments, Figures, Found, parse_arguments
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.files import read_label

Pairs = list[tuple[str, float | None]]
NNUNET, OBSERVED = "nnU-Net 2.8.1", "2d_chasedb1"
OBSERVER = "observer"
ARMS = {"nnunet", OBSERVER}  # beside the presets
SHOWN = 2  # structures that have a column each
MORE: dict[str, Mapping[str, Any]] = {
    "--environments": {
        "type": Path,
        "required": True,
        "help": "folder of the peers' environments, with nnunet",
    },
    "--seconds": {"type": float, "default": 300, "help": "CPU seconds to learn for"},
    "--shares": {
        "type": float,
        "nargs": "+",
        "default": [1.0],
        "help": "shares of the seconds that the presets learn for, each an arm",
    },
    "--only": {
        "nargs": "+",
        "metavar": "SET/ARM",
        "help": "some arms only, on the page, too: nnunet, observer or a preset",
    },
}


def main() -> None:
    """Run all methods; write docs/experiments/semantic.md, and pictures to look at."""
    example = "~/sets --environments ~/peers --seeds 1"
    given = parse_arguments("semantic", __doc__ or "", example, MORE)
    tables: dict[str, Found] = {}
    for name, one in SETS.items():
        if not any(wanted(given, name, arm) for arm in ARMS | one.presets.keys()):
            continue
        runs = run_set(one, given)
        raw, references = places(given, name)
        found: Found = {
            arm: [judge(run, one, raw, references) for run in each]
            for arm, each in runs.items()
        }
        if name == OBSERVED and wanted(given, name, OBSERVER):
            found["second observer"] = [
                judge_observer(given.data / name, raw, references)
            ]
        tables[name] = found
        picture = given.paths.root / f"{name}.png"
        draw_case(picture, one, runs, raw, references)
    write_pages("semantic", tables)


def wanted(given: Arguments, name: str, arm: str) -> bool:
    """Whether an arm of a set is to run: all are, unless ``--only`` names some."""
    return not given.more.only or f"{name}/{arm}" in given.more.only


def places(given: Arguments, name: str) -> tuple[Path, Path]:
    """Folder of the files that methods may see, and of the references of the tests."""
    work = given.paths.root.resolve()
    number = list(SETS).index(name) + 1
    return work / "raw" / f"Dataset{number:03}_{name}", work / "references" / name


def run_set(one: SemanticSet, given: Arguments) -> dict[str, list[Run]]:
    """All arms of a set with all seeds, or those that ``--only`` names."""
    raw, references = places(given, one.folder)
    write_set(one, given.data / one.folder, raw, references)
    folder, more = given.paths.root.resolve() / one.folder, given.more
    runs: dict[str, list[Run]] = {}
    if wanted(given, one.folder, "nnunet"):
        where = more.environments.absolute()
        runs[NNUNET] = [
            run_nnunet(raw, folder, environments=where, seconds=more.seconds, seed=seed)
            for seed in given.seeds
        ]
    for preset, share in itertools.product(one.presets, more.shares):
        if wanted(given, one.folder, preset):
            runs[title(preset, share)] = [
                run_segpipe(
                    preset,
                    one,
                    raw=raw,
                    folder=folder,
                    seconds=more.seconds * share,
                    seed=seed,
                )
                for seed in given.seeds
            ]
    return runs


def title(preset: str, share: float) -> str:
    """Name of the arm of a preset that learned for a share of the seconds."""
    some = "" if share == 1 else f", {share:.0%} of the seconds"
    return f"segpipe, preset {preset}{some}"


def judge(run: Run, one: SemanticSet, raw: Path, references: Path) -> Figures:
    """Figures of a run on the test cases."""
    files = {
        name: run.folder / f"{name}{one.ending}"
        for name, side in read_sides(raw)
        if side == "test"
    }
    about = {"CPU s": float(run.about["learning_s"]), "steps": run.about["steps"]}
    return {**about, **compare(files, references, read_structures(raw))}


def judge_observer(source: Path, raw: Path, references: Path) -> Figures:
    """Figures of the second observer's masks, which cost no seconds."""
    names = [name for name, side in read_sides(raw) if side == "test"]
    files = {name: observer(name, 2, source) for name in names}
    return {
        "CPU s": math.nan,
        "steps": math.nan,
        **compare(files, references, read_structures(raw)),
    }


def compare(
    files: dict[str, Path], references: Path, structures: Sequence[str]
) -> Figures:
    """Dice of label maps: the mean over patients, and by structure.

    A patient's Dice is the mean over its structures and cases; a structure that is
    rightly absent counts nothing, and one that is falsely found or missed counts 0.

    Args:
        files: Label map of each test case.
        references: Folder of the references, with the same names.
        structures: Names of the structures 1, 2 ...
    """
    pairs: dict[str, Pairs] = {name: [] for name in structures}
    for case, file in files.items():
        (where,) = references.glob(f"{case}.*")
        drawn, found = read_label(where).array, read_label(file).array
        for value, name in enumerate(structures, start=1):
            score = dice(drawn == value, found == value)
            known = None if math.isnan(score) else score
            pairs[name].append((patient_of(case), known))
    every = [pair for each in pairs.values() for pair in each]
    shown = structures if 1 < len(structures) <= SHOWN else ()
    return {
        "Dice": mean_by_patient(every),
        **{f"Dice {name}": mean_by_patient(pairs[name]) for name in shown},
        PAIRS: every,
    }


def mean_by_patient(pairs: Pairs) -> float:
    """Mean over patients of the mean of each."""
    each: dict[str, list[float]] = {}
    for patient, score in pairs:
        if score is not None:
            each.setdefault(patient, []).append(score)
    means = [np.mean(scores) for scores in each.values()]
    return float(np.mean(means)) if means else math.nan


if __name__ == "__main__":
    main()
