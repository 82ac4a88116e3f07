"""The scorer, held against StarDist's own in StarDist's environment.

Arguments: a folder of references and one of predictions, NAME.npy each. It prints the
true positives at each threshold by either scorer, for all images together.
"""

import sys
from pathlib import Path

import numpy as np
from stardist.matching import matching_dataset

from segpipe.evaluation.matching import IOU_STEPS, match_instances, sum_matches


def main() -> None:
    """Count by both, and print a line for each threshold."""
    references, predictions = (Path(folder) for folder in sys.argv[1:])
    names = sorted(file.name for file in references.glob("*.npy"))
    true = [np.load(references / name) for name in names]
    found = [np.load(predictions / name) for name in names]
    ours = sum_matches(map(match_instances, true, found))
    theirs = matching_dataset(
        true, found, thresh=IOU_STEPS, by_image=False, show_progress=False
    )
    sys.stdout.write(f"{len(names)} images, {ours.n_reference} nuclei\n")
    sys.stdout.write("IoU  ours  StarDist\n")
    for threshold, count, other in zip(IOU_STEPS, ours.hits, theirs, strict=True):
        sys.stdout.write(f"{threshold:.2f} {count:5} {other.tp:5}\n")
    ap = np.mean([other.accuracy for other in theirs])
    sys.stdout.write(f"AP .5:.95  {ours.average_precision:.6f}  {ap:.6f}\n")


if __name__ == "__main__":
    main()
