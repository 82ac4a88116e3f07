"""Nuclei, found by segpipe and by others on the same images in equal CPU seconds.

Source:
    Schmidt 2018, arXiv:1806.03535 (StarDist). Stringer 2021,
    doi:10.1038/s41592-020-01018-x (Cellpose). Caicedo 2019,
    doi:10.1038/s41592-019-0612-7 (the images).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from experiments.arms import Run
from experiments.nuclei_arms import (
    PEERS,
    read_ids,
    read_pixels,
    read_prediction,
    run_peer,
    run_segpipe,
    write_exchange,
)
from experiments.nuclei_picture import draw_outlines
from experiments.nuclei_sides import Row, choose_sides, read_rows
from experiments.pages import write_page
from experiments.trials import (
    PAIRS,
    Arguments,
    Figures,
    Found,
    parse_arguments,
)
from segpipe.evaluation.matching import InstanceMatch, match_instances, sum_matches

Labels = dict[str, Integer[np.ndarray, "row column"]]
SEGPIPE = {  # preset to the model of it
    "nuclei": "unet2d",
    "border-weights": "unet2d-border",
}
MORE: dict[str, Mapping[str, Any]] = {
    "--environments": {
        "type": Path,
        "required": True,
        "help": "folder of the peers' environments: otsu, stardist, cellpose",
    },
    "--seconds": {"type": float, "default": 800, "help": "CPU seconds to learn for"},
    "--epochs": {
        "nargs": "+",
        "default": [],
        "metavar": "PRESET=N",
        "help": "epochs of segpipe's presets that fit the seconds; default: their own",
    },
    "--only": {
        "nargs": "+",
        "choices": [*PEERS.values(), *SEGPIPE],
        "help": "some arms only, on the page, too",
    },
}


def main() -> None:
    """Run all methods; write docs/experiments/instances.md, and a picture."""
    example = "~/sets/2d_dsb2018 --environments ~/peers --seeds 1"
    given = parse_arguments("instances", __doc__ or "", example, MORE)
    rows = {row.name: row for row in read_rows(given.data)}
    names = [
        name
        for name, side in choose_sides(list(rows.values())).items()
        if side == "test"
    ]
    labels = {name: read_ids(given.data / "labels" / f"{name}.png") for name in names}
    runs = run_all(given)
    write_references(given.paths.root / "references", labels)
    found: Found = {
        arm: [judge(one, labels, rows) for one in each] for arm, each in runs.items()
    }
    write_page("instances", found, score="AP")
    draw_outlines(
        given.paths.root / "outlines.png",
        {name: read_pixels(given.data / "images" / f"{name}.png") for name in names},
        {
            "reference": labels,
            **{
                arm: {name: read_prediction(each[0], name) for name in names}
                for arm, each in runs.items()
            },
        },
        rows,
    )


def run_all(given: Arguments) -> dict[str, list[Run]]:
    """All arms with all seeds, or those that ``--only`` names."""
    work, more = given.paths.root.resolve(), given.more
    write_exchange(given.data, work / "exchange")
    epochs = dict(text.split("=") for text in more.epochs)
    runs: dict[str, list[Run]] = {}
    for arm, peer in PEERS.items():
        if not more.only or peer in more.only:
            runs[arm] = [
                run_peer(
                    peer,
                    work=work,
                    environments=more.environments.absolute(),
                    seconds=more.seconds,
                    seed=seed,
                )
                for seed in given.seeds
            ]
    for preset, model in SEGPIPE.items():
        if not more.only or preset in more.only:
            fewer = {"epochs": int(epochs[preset])} if preset in epochs else {}
            runs[f"segpipe, preset {preset}"] = [
                run_segpipe(
                    preset, model, fewer, source=given.data, work=work, seed=seed
                )
                for seed in given.seeds
            ]
    return runs


def write_references(folder: Path, labels: Labels) -> None:
    """Write the references of the test images, to check the scorer by another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in labels.items():
        np.save(folder / f"{name}.npy", ids.astype(np.int32))


def judge(run: Run, labels: Labels, rows: dict[str, Row]) -> Figures:
    """Figures of a run: pooled over the nuclei of all test images, and AP by image."""
    each = {
        name: match_instances(ids, read_prediction(run, name))
        for name, ids in labels.items()
    }
    whole = sum_matches(each.values())
    stains = {
        stain: sum_matches(
            one for name, one in each.items() if rows[name].stain == stain
        )
        for stain in ("fluorescence", "brightfield")
    }
    return {
        "CPU s": run.about["learning_s"],
        **pooled(whole),
        "F1 fluorescence": stains["fluorescence"].f1_at(0.5),
        "F1 stained": stains["brightfield"].f1_at(0.5),
        PAIRS: [(name, one.average_precision) for name, one in each.items()],
    }


def pooled(whole: InstanceMatch) -> Figures:
    """The figures of the pooled counts that have a column."""
    counts = dataclasses.asdict(whole)
    return {
        "F1@.5": whole.f1_at(0.5),
        "F1@.7": whole.f1_at(0.7),
        "AP .5:.95": whole.average_precision,
        **{name: counts[name] for name in ("merges", "splits", "missed", "debris")},
    }


if __name__ == "__main__":
    main()
