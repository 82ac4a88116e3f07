"""How often equal models are called different, and which candidates pass the gate.

    python -m benchmarks.differences

Both are simulated; the tables stand in docs/decisions/0012-the-gate.md. Dice of equal
models are bounded, skewed and tied: patients differ in difficulty, noise grows with it,
1 is a ceiling, some cases fail altogether, and figures are rounded.
"""

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from segpipe.evaluation.differences import LEVEL, patients_needed, subsets

DRAWS = 4000  # sets of equal models in a situation
CANDIDATES = 400  # for each share of the gate; DRAWS of them for one structure
PATTERNS = 9_999  # of signs, for more than 16 patients
# patients, scans of each, models
SITUATIONS = (
    (2, 1, 2),
    (3, 1, 2),
    (5, 1, 2),
    (6, 1, 2),
    (10, 1, 2),
    (30, 1, 2),
    (6, 5, 2),
    (10, 1, 6),
    (30, 1, 6),
)
Chances = Float64[np.ndarray, "draw comparison"]


def draw_scores(
    rng: np.random.Generator, draws: int, *, patients: int, scans: int, models: int
) -> Float64[np.ndarray, "draw model patient scan"]:
    """Draw the Dice of equal models: their order is chance in each patient."""
    shape = (draws, models, patients, scans)
    ease = rng.beta(9, 1.5, (draws, 1, patients, 1))
    of_patient = rng.normal(0, 0.3, (draws, models, patients, 1))
    noise = of_patient + rng.normal(0, 0.15, shape)
    dice = np.clip(ease + (1 - ease) * noise, 0, 1)
    failed = rng.random((draws, models, patients, 1)) < 0.02
    return np.asarray(np.round(np.where(failed, 0, dice), 2))


def pairs_of(
    dice: Float64[np.ndarray, "draw model unit"],
) -> Float64[np.ndarray, "draw unit comparison"]:
    """Differences of each two models."""
    one, other = np.triu_indices(dice.shape[1], 1)
    return np.swapaxes(dice[:, one] - dice[:, other], 1, 2)


def permute(differences: Float64[np.ndarray, "draw unit comparison"]) -> Chances:
    """Probabilities of the sign-flip test, as segpipe.evaluation.differences."""
    chosen = subsets(differences.shape[1])[:PATTERNS].astype(np.float64)
    found = []
    for one in np.array_split(differences, max(1, len(differences) // 50)):
        sums = np.round(np.einsum("sp,dpc->dcs", chosen, one, optimize=True), 9)
        tail = 1 + np.minimum((sums <= 0).sum(axis=2), (sums >= 0).sum(axis=2))
        found.append(np.minimum(1.0, 2 * tail / (1 + len(chosen))))
    return np.concatenate(found)


def student(differences: Float64[np.ndarray, "draw unit comparison"]) -> Chances:
    """Probabilities of Student's paired test; 1 where nothing differs."""
    count = differences.shape[1]
    error = differences.std(axis=1, ddof=1) / np.sqrt(count)
    mean = np.abs(differences.mean(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = 2 * stats.t.sf(mean / error, count - 1)
    return np.asarray(np.where(mean > 1e-9, np.nan_to_num(chance, nan=0.0), 1.0))


def bootstrap(differences: Float64[np.ndarray, "draw unit comparison"]) -> Chances:
    """0 where the percentile bootstrap's 95 % interval excludes 0, else 1."""
    count = differences.shape[1]
    rng = np.random.default_rng(1)
    times = rng.multinomial(count, [1 / count] * count, 500) / count
    found = []
    for one in np.array_split(differences, max(1, len(differences) // 50)):
        means = np.einsum("rp,dpc->dcr", times, one, optimize=True)
        low, high = np.percentile(np.round(means, 9), [2.5, 97.5], axis=2)
        found.append(np.where((low > 0) | (high < 0), 0.0, 1.0))
    return np.concatenate(found)


def any_different(chances: Chances, *, corrected: bool) -> float:
    """Share of the draws in which at least one comparison is called different."""
    several = chances.shape[1] if corrected else 1
    return float((chances.min(axis=1) * several <= LEVEL + 1e-9).mean())


def compare_methods(patients: int, scans: int, models: int) -> tuple[float, ...]:
    """Shares called different: bootstrap of scans, Student's test, permutation."""
    rng = np.random.default_rng([patients, scans, models])
    draws = DRAWS // 10 if models > 2 else DRAWS
    dice = draw_scores(rng, draws, patients=patients, scans=scans, models=models)
    by_scan = pairs_of(dice.reshape(draws, models, patients * scans))
    by_patient = pairs_of(dice.mean(axis=3))
    return (
        any_different(bootstrap(by_scan), corrected=False),
        any_different(student(by_patient), corrected=True),
        any_different(permute(by_patient), corrected=True),
    )


def find_power(
    test: Callable[[Float64[np.ndarray, "draw unit comparison"]], Chances],
    patients: int,
    gain: float,
) -> float:
    """Share called different where one model is better by a gain, up to Dice 1."""
    rng = np.random.default_rng(patients)
    dice = draw_scores(rng, DRAWS, patients=patients, scans=1, models=2)[..., 0]
    dice[:, 0] = np.minimum(1.0, dice[:, 0] + gain)
    return any_different(test(pairs_of(dice)), corrected=False)


def draw_candidates(
    structures: int, deviation: float, patients: int, *, loss: float, hurt: int
) -> Float64[np.ndarray, "draw patient structure"]:
    """Differences of candidates; half of the variance is the patient's.

    Args:
        structures: Number of structures.
        deviation: Standard deviation of a structure of a patient.
        patients: Number of patients.
        loss: Loss of the structures that are worse.
        hurt: Number of these structures.
    """
    rng = np.random.default_rng([structures, patients, hurt])
    if structures == 1:
        noise = rng.normal(0, deviation, (DRAWS, patients, 1))
    else:
        half = deviation / np.sqrt(2)
        noise = rng.normal(0, half, (CANDIDATES, patients, structures))
        noise += rng.normal(0, half, (CANDIDATES, patients, 1))
    noise[:, :, :hurt] -= loss
    return noise


def pass_gate(
    differences: Float64[np.ndarray, "draw patient structure"],
    *,
    margin: float = 0.02,
    structure_margin: float = 0.01,
) -> Bool[np.ndarray, " draw"]:
    """Whether candidates pass the rules (a) and (b) of the gate, without failures."""
    whole = differences.mean(axis=2, keepdims=True)
    low = whole.mean(axis=1)[:, 0] > -margin
    not_worse = low & (permute(whole + margin)[:, 0] <= LEVEL + 1e-9)
    chances = permute(differences)
    order = np.argsort(chances, axis=1)
    left = chances.shape[1] - np.arange(chances.shape[1])
    raised = np.maximum.accumulate(
        np.take_along_axis(chances, order, axis=1) * left, axis=1
    )
    means = np.take_along_axis(differences.mean(axis=1), order, axis=1)
    worse = (raised <= LEVEL + 1e-9) & (means < -structure_margin)
    return np.asarray(not_worse & ~worse.any(axis=1))


def main() -> None:
    """Print the tables."""
    print("| models | patients | scans of each | bootstrap | Student | permutation |")
    print("|---|---|---|---|---|---|")
    for patients, scans, models in SITUATIONS:
        shares = compare_methods(patients, scans, models)
        cells = [models, patients, scans, *(f"{100 * share:.1f} %" for share in shares)]
        print(f"| {' | '.join(map(str, cells))} |")
    print("\n| patients | gain | Student sees | permutation sees |\n|---|---|---|---|")
    for patients in (6, 7, 9, 12):
        for gain in (0.03, 0.06):
            seen = (find_power(test, patients, gain) for test in (student, permute))
            shares = " | ".join(f"{100 * share:.0f} %" for share in seen)
            print(f"| {patients} | {gain} | {shares} |")
    print(
        "\n| structures | deviation | patients | equal | all .02 | all .05 | one .05 |"
    )
    print("|---|---|---|---|---|---|---|")
    for structures, deviation, patients in itertools.product(
        (1, 30, 100), (0.02, 0.04), (6, 12, 30)
    ):
        if patients < patients_needed(structures):
            continue
        kinds = ((0.0, 0), (0.02, structures), (0.05, structures), (0.05, 1))
        found = (
            draw_candidates(structures, deviation, patients, loss=loss, hurt=hurt)
            for loss, hurt in kinds
        )
        shares = " | ".join(f"{100 * pass_gate(one).mean():.0f} %" for one in found)
        print(f"| {structures} | {deviation} | {patients} | {shares} |")


if __name__ == "__main__":
    main()
