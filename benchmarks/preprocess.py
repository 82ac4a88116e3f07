"""Preprocessing: the stage against nnU-Net's, same files, spacing and interpolation.

    python -m benchmarks.preprocess --peer ENVIRONMENT/bin/python

Both read volumes and label maps from NIfTI, resample them to 1 mm (linear and nearest
neighbour), normalize them by the mean and deviation of the case, and write them: ours
as .npy with a copy in its cache, after digests of all files; nnU-Net as blosc2. Each
uses one process.
"""

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.peer import HOME, Peer, parse_peer
from benchmarks.timing import last_line, ratios
from segpipe.dataset.split import Split, split_file
from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.grid import Grid
from segpipe.planning.params import PlanParams
from segpipe.project.documents import write_json
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.stages import plan, verify

SHAPE, SPACING, GOAL = (192, 192, 64), (0.8, 0.8, 2.5), (1.0, 1.0, 1.0)
CASES, ROUNDS = 3, 5
LABELS = {"background": 0, "liver": 1, "lesion": 2}


def write_cases(data: Path) -> None:
    """Write volumes like abdominal scans: smooth organs, noise, a few structures."""
    for number in range(CASES):
        rng = np.random.default_rng(number)
        coarse = ndimage.zoom(rng.normal(size=(12, 12, 8)), 16, order=1)
        smooth = coarse[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
        image = (100 * smooth + 20 * rng.normal(size=SHAPE)).astype(np.float32)
        label = ((smooth > 0.5).astype(np.uint8) + (smooth > 1)).astype(np.uint8)
        grid = Grid.from_spacing(SHAPE, SPACING, "mm")
        write_image(data / "imagesTr" / f"case_{number}_0000.nii", image, grid)
        write_label(data / "labelsTr" / f"case_{number}.nii", label, grid)
    about = {
        "channel_names": {"0": "MRI"},
        "labels": LABELS,
        "numTraining": CASES,
        "file_ending": ".nii",
    }
    write_json(data / "dataset.json", about)


def prepare(paths: Paths) -> None:
    """Write the cases, then run verify and plan."""
    write_cases(paths.data)
    document = read_params(HOME / "presets" / "phantom.yaml")
    document["plan"]["spacing"] = list(GOAL)
    verify.run(
        parse_section(verify.VerifyParams, document["verify"], where="verify"),
        networks={"m": 3},
        paths=paths,
    )
    Split(format_version=1, test=(), folds=()).write(split_file(paths.artifacts))
    params = parse_section(PlanParams, document["plan"], where="plan")
    plan.run(params, models={}, paths=paths)


def main() -> None:
    """Print the table and the line that scripts read."""
    logging.disable()
    python = parse_peer("preprocess", __doc__ or "")
    with tempfile.TemporaryDirectory() as name:
        paths = Paths(Path(name))
        prepare(paths)
        given = {"threads": 2, "spacing": GOAL, "labels": LABELS, "output": name}
        project = {"threads": 2, "project": name}
        with (
            Peer(python, "nnunet.py", "preprocessing", given) as peer,
            Peer(Path(sys.executable), "ours.py", "preprocessing", project) as ours,
        ):
            before = ours.start["peak_mb"], peer.start["peak_mb"]
            rounds = [_round(ours, peer, paths) for _ in range(ROUNDS + 1)][1:]
    mine, theirs = ([pair[n]["seconds"] for pair in rounds] for n in (0, 1))
    peaks = [max(pair[n]["peak_mb"] for pair in rounds) - before[n] for n in (0, 1)]
    case_mb = np.prod(SHAPE) * np.prod(SPACING) * 4 / 1e6
    print(f"{CASES} cases of {SHAPE} at {SPACING} mm to 1 mm ({case_mb:.0f} MB each)")
    print(f"{'':12}{'s a case':>10}{'peak MB above start':>22}")
    for label, times, peak in zip(
        ("ours", "nnU-Net"), (mine, theirs), peaks, strict=True
    ):
        middle = sorted(times)[len(times) // 2] / CASES
        print(f"{label:12}{middle:10.2f}{peak:22.0f}")
    print(f"memory: nnU-Net needs {peaks[1] / peaks[0]:.1f} times ours")
    print(last_line("preprocess", ratios(mine, theirs)))


def _round(
    ours: Peer, peer: Peer, paths: Paths
) -> tuple[dict[str, float], dict[str, float]]:
    """Preprocess all cases with ours, then with the peer."""
    mine = ours.ask()
    answers = [
        peer.ask(
            image=str(paths.data / "imagesTr" / f"case_{number}_0000.nii"),
            label=str(paths.data / "labelsTr" / f"case_{number}.nii"),
        )
        for number in range(CASES)
    ]
    seconds = sum(answer["seconds"] for answer in answers)
    return mine, {"seconds": seconds, "peak_mb": answers[-1]["peak_mb"]}


if __name__ == "__main__":
    main()
