"""Survey: the grid, sampled intensities and class counts of a case, cached."""

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.finished import CaseCache
from segpipe.images.grid import Grid
from segpipe.images.region import background_of, box_share
from segpipe.project.documents import parse_json, write_json
from segpipe.project.fingerprint import fingerprint
from segpipe.project.paths import Paths

GRID = "canonical_grid.json"  # in an entry of the cache
SAMPLES = 10_000  # voxels that represent the intensities of a case


@dataclass(frozen=True, eq=False)
class CaseSurvey:
    """Grid, intensities and classes of one case.

    Attributes:
        grid: Grid of the image on its canonical axes.
        samples: Intensities of sampled foreground voxels; NaN for a channel that the
            case lacks, as is its background.
        counts: Number of annotated voxels of each class.
        background: Background value of each channel, by the corners of the image.
        box_share: Share of the voxels in the box around those that are not empty.
    """

    grid: Grid
    samples: Float32[np.ndarray, "channel n"]
    counts: Int[np.ndarray, " classes"]
    background: Float64[np.ndarray, " channel"]
    box_share: float


def recall_survey(
    paths: Paths, cases: CaseList, digests: DataDigests, most: int, case: Case
) -> CaseSurvey | None:
    """The survey of a case from the cache; None if its files were not surveyed.

    Args:
        paths: The project's folders.
        cases: The data set, without its cases.
        digests: Digests of the files.
        most: Sampled voxels that are returned at most.
        case: The case.
    """
    kept = _cache(paths).read(_key(cases, digests, case))
    if kept is None:
        return None
    grid = Grid.from_json(parse_json(Path(GRID), kept[GRID]))
    names = ("samples", "class_counts", "background", "box_share")
    samples, counts, background, share = (
        np.load(io.BytesIO(kept[f"{name}.npy"])) for name in names
    )
    samples = _thin(samples, most)
    return CaseSurvey(grid, samples, counts, background, float(share))


def survey_case(
    paths: Paths, cases: CaseList, digests: DataDigests, most: int, case: Case
) -> CaseSurvey:
    """Survey a case and keep its survey in the cache; arguments as of recall_survey."""
    key = _key(cases, digests, case)
    survey = _survey(paths.data, cases, case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "samples.npy", survey.samples)
        np.save(folder / "class_counts.npy", survey.counts)
        np.save(folder / "background.npy", survey.background)
        np.save(folder / "box_share.npy", survey.box_share)
        write_json(folder / GRID, survey.grid.to_json())
        _cache(paths).store(key, folder)
    return replace(survey, samples=_thin(survey.samples, most))


def _thin(samples: np.ndarray, most: int) -> np.ndarray:
    """Keep so many sampled voxels at most, evenly chosen from all of them."""
    if samples.shape[1] <= most:
        return samples
    return samples[:, np.linspace(0, samples.shape[1] - 1, most).round().astype(int)]


def _cache(paths: Paths) -> CaseCache:
    return CaseCache(paths.cache / "plan")


def _key(cases: CaseList, digests: DataDigests, case: Case) -> str:
    return fingerprint(
        __name__,
        files=[digests.of(file) for file in (*case.images, case.label)],
        missing=case.missing,
        values=[*cases.values, cases.ignore],
        spacing_mm=cases.spacing_mm,
    )


def _survey(data: Path, cases: CaseList, case: Case) -> CaseSurvey:
    image = read_case(data, cases, case)
    label = read_case_label(data, cases, case)
    values = label.array.reshape(-1)
    foreground = np.flatnonzero((values != 0) & (values != cases.ignore))
    if len(foreground) == 0:
        foreground = np.arange(values.size)
    rng = np.random.default_rng(len(foreground))
    chosen = rng.choice(foreground, min(SAMPLES, len(foreground)), replace=False)
    grid = image.grid.reoriented(image.grid.to_canonical)
    samples = image.array.reshape(len(image.array), -1)[:, np.sort(chosen)]
    counts = np.array([np.count_nonzero(values == value) for value in cases.values])
    background = np.array(background_of(image.array))
    return CaseSurvey(grid, samples, counts, background, box_share(image.array))
