"""Sets: one of images and one of volumes, prepared once for all of their arms."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.arms import FOLD
from experiments.leaderboard.arms import (
    IMAGE_CLAIMS,
    IMAGES,
    VOLUME_CLAIMS,
    VOLUMES,
    Arm,
    Claim,
)
from experiments.nuclei_arms import import_nuclei
from experiments.semantic_sets import choose_sides
from experiments.trials import (
    HIPPOCAMPUS,
    Sections,
    Trial,
    import_some,
    prepare,
    read_sections,
)
from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.stages import annotate, plan, preprocess, weigh

VALIDATED = 7  # images: more would take much of the seconds of slow networks


@dataclass(frozen=True)
class Board:
    """A data set with the systems that learn it.

    Attributes:
        folder: Name of its folder.
        preset: Preset whose sections, but for the section train, all arms share.
        model: A model of that preset.
        load: Imports a folder of the set into data/, with the sides of the patients.
        arms: The systems.
        claims: What the literature says of them.
    """

    folder: str
    preset: str
    model: str
    load: Callable[[Path, Path], None]
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        (found,) = (one for one in self.arms if one.name == name)
        return found


def import_images(source: Path, data: Path) -> None:
    """Import the nuclei, of which few validate, unless they are there."""
    import_nuclei(source, data)
    file, validating = data / "splits.csv", f",{FOLD['validation']}"
    lines = file.read_text(encoding="utf-8").splitlines()
    spared = [line for line in lines if line.endswith(validating)][VALIDATED:]
    training = f",{FOLD['training']}"
    text = "".join(
        f"{line.removesuffix(validating) + training if line in spared else line}\n"
        for line in lines
    )
    write_text(file, text)


def import_hippocampus(source: Path, data: Path) -> None:
    """Import the set with the sides of the page on structures, unless it is there."""
    files = (source / "images").glob("*.nii.gz")
    names = {file.name.removesuffix(".nii.gz") for file in files}
    sides = {name: FOLD[side] for name, side in choose_sides(names).items()}
    import_some(source, data, HIPPOCAMPUS, sides)


BOARDS = {
    one.folder: one
    for one in (
        Board(
            "2d_dsb2018",
            "nuclei",
            "unet2d",
            import_images,
            IMAGES,
            IMAGE_CLAIMS,
        ),
        Board(
            "3d_msd_hippocampus",
            "best-3d",
            "resenc3d",
            import_hippocampus,
            VOLUMES,
            VOLUME_CLAIMS,
        ),
    )
}


def base_sections(board: Board, *, device: str, workers: int = 1) -> Sections:
    """Sections of a set that all of its arms share.

    Args:
        board: The set.
        device: ``cpu`` or ``cuda``.
        workers: Processes of the stages before the training.
    """
    stages = ("verify", "plan", "preprocess", "weigh")
    changes: dict[str, Any] = {
        **{stage: {"workers": workers} for stage in stages},
        "evaluate": {"workers": 1},
        "compute": {"device": device, "threads": 1, "workers": 1},
        "split": {"n_folds": 2},
    }
    return read_sections(board.preset, board.model, changes)


def prepare_set(
    board: Board, source: Path, base: Sections, trials: Sequence[Trial], paths: Paths
) -> None:
    """Import a set and run the stages before train, once for all trials.

    Args:
        board: The set.
        source: Folder of the sets.
        base: Sections that the trials share.
        trials: Trials whose patches are planned.
        paths: Folders of the scratch project.
    """
    board.load(source / board.folder, paths.data)
    prepare(paths, base)
    models = {trial.name: trial.sections.train for trial in trials}
    plan.run(base.plan, models=models, paths=paths)
    preprocess.run(base.preprocess, paths=paths)
    annotate.run(base.annotate, paths=paths)
    weigh.run(base.weigh, paths=paths)


def processes() -> int:
    """Processes that prepare: as many as the machine has cores."""
    return os.cpu_count() or 1
