"""Sets: a few images and a few volumes, with the networks that learn them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.everything.systems import NETWORKS, Recipes, build_models
from experiments.nuclei_sides import read_rows
from experiments.trials import HOME, ONE_PROCESS, merged
from segpipe.project.params import read_params

LENGTH: dict[str, Any] = {
    "epochs": 2,
    "steps_per_epoch": 5,
    "validation_interval": 2,
    "batch_size": 2,
}
LARGEST = 256 * 320  # pixels
PATCH: dict[str, Any] = {"patch_size": [128, 128, 1]}
IMAGES, VOLUMES = 16, 8


@dataclass(frozen=True)
class Set:
    """A part of a real set, and what is made of it.

    Attributes:
        folder: Name of the whole set's folder.
        title: What it is, in words.
        preset: Preset of all sections but train.
        changes: Changes of these sections.
        recipes: Where the models come from.
        choose: Chooses the cases of the folder: their names, and their group.
        words: Words of ``segpipe import`` that describe the folder.
    """

    folder: str
    title: str
    preset: str
    changes: dict[str, Any]
    recipes: Recipes
    choose: Callable[[Path], dict[str, str]]
    words: tuple[str, ...]

    def build_params(self, only: Sequence[str] = ()) -> dict[str, Any]:
        """The params.yaml with every network, or with some of their models."""
        models = build_models(self.recipes, LENGTH)
        if only:
            models = {name: one for name, one in models.items() if name in only}
        document = read_params(HOME / "presets" / f"{self.preset}.yaml")
        document |= {"models": list(models), "folds": [0], "train": models}
        return merged(document, {**ONE_PROCESS, **self.changes})


def choose_images(source: Path) -> dict[str, str]:
    """Small images at equal distances in the order of stain, size and name."""
    rows = [row for row in read_rows(source) if row.height * row.width <= LARGEST]
    rows.sort(key=lambda row: (row.stain, row.height, row.width, row.name))
    places = [number * len(rows) // IMAGES for number in range(IMAGES)]
    return {rows[place].name: rows[place].stain for place in places}


def choose_volumes(source: Path) -> dict[str, str]:
    """The first volumes in the order of their names."""
    files = sorted((source / "images").glob("*.nii.gz"))[:VOLUMES]
    return {file.name.removesuffix(".nii.gz"): "hippocampus" for file in files}


COMPUTE = {"device": "cpu", "threads": 1, "workers": 1}
SETS = (
    Set(
        "2d_dsb2018",
        "Images",
        "nuclei",
        {
            "compute": COMPUTE,
            "split": {"test_fraction": 0.25, "n_folds": 3},
            "evaluate": {"workers": 1, "group_by": ["group"]},
        },
        Recipes(
            2,
            ("nuclei", "mask-rcnn", "best-2d", "encoder-decoder", "literature-2d"),
            ("literature-2d", "dilated"),
            {
                name: PATCH
                for name in NETWORKS
                if name not in ("deconvnet", "twopath", "inputcascade")
            },
        ),
        choose_images,
        ("--instances", "--structure", "nucleus=1"),
    ),
    Set(
        "3d_msd_hippocampus",
        "Volumes",
        "hippocampus",
        {"compute": COMPUTE, "split": {"test_fraction": 0.25, "n_folds": 2}},
        Recipes(
            3,
            ("hippocampus", "best-3d", "monai"),
            ("monai", "swinunetr"),
            {
                "monai/UNETR": {
                    "arguments": {"hidden_size": 192, "mlp_dim": 768, "num_heads": 6}
                },
                "monai/MedNeXt": {"arguments": {"kernel_size": 3}},
            },
        ),
        choose_volumes,
        ("--structure", "anterior=1", "--structure", "posterior=2"),
    ),
)
