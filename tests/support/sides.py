"""Lists of cases to split, and who stands where after it."""

from collections.abc import Mapping
from types import MappingProxyType

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.split import Split, read_split
from segpipe.planning.sides.assignment import SplitParams
from segpipe.project.paths import Paths
from segpipe.stages import split
from tests.support.projects import SPLIT, changed

MANY = [f"patient_{n}" for n in range(60)]
# patient_7 has a scan of patient_3 and one of patient_50: all three belong together.
COPIES = {
    "patient_3-0": "a",
    "patient_7-0": "a",
    "patient_7-1": "b",
    "patient_50-1": "b",
    "patient_9-0": "c",
}
PARAMS = changed(SPLIT, test_fraction=0.2, n_folds=5)


def write_cases(
    paths: Paths,
    patients: list[str],
    *,
    studies: int = 2,
    digests: Mapping[str, str] = MappingProxyType({}),
    attributes: Mapping[str, dict[str, str]] = MappingProxyType({}),
    drawn: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> None:
    cases = tuple(
        Case(
            name=f"{patient}-{study}",
            patient=patient,
            images=("a.nii",),
            label="b.nii",
            instances=None,
            shape=(2, 2, 2),
            spacing=(1.0, 1.0, 1.0),
            attributes=attributes.get(patient, {}),
            warnings=(),
            digest=digests.get(f"{patient}-{study}"),
            structures=drawn.get(patient, ("a",)),
        )
        for patient in patients
        for study in range(studies)
    )
    CaseList(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing_mm=None,
        file_ending=".nii",
        channels=("x",),
        labels={"background": 0, "a": 1},
        ignore=None,
        cases=cases,
    ).write(paths.artifacts / "verify" / "cases.json")


def split_of(paths: Paths, params: SplitParams = PARAMS) -> Split:
    split.run(params, paths=paths)
    return read_split(paths.artifacts)


def sides(found: Split) -> dict[str, str]:
    """Case to side."""
    side = dict.fromkeys(found.test, "test")
    for number, fold in enumerate(found.folds):
        side |= dict.fromkeys(fold.validation, str(number))
    return side


def stains(few: int) -> dict[str, dict[str, str]]:
    """The last patients are stained."""
    names = dict.fromkeys(MANY, "fluorescence") | dict.fromkeys(MANY[-few:], "H&E")
    return {patient: {"stain": stain} for patient, stain in names.items()}
