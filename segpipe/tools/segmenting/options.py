"""What to write for a case, and how to segment it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from segpipe.project.fingerprint import digest_json
from segpipe.registry.mlflow_model.fetch import SegmenterRecord
from segpipe.segmenter.segmenter import Inference, Segmenter
from segpipe.tools.segmenting.manifest import InputRecord


@dataclass(frozen=True)
class Outputs:
    """Which files to write besides the label map and its manifest.

    Attributes:
        probabilities: A volume a structure, NAME_probability_STRUCTURE.nii.gz.
        uncertainty: NAME_entropy.nii.gz and NAME_disagreement.nii.gz, from 0 to 1.
        instances: NAME_instances: connected components of each structure, numbered.
        overlay: NAME_overlay.png.
    """

    probabilities: bool
    uncertainty: bool
    instances: bool
    overlay: bool


@dataclass(frozen=True)
class SegmentOptions:
    """What the user may choose.

    Attributes:
        outputs: Which files besides the label map.
        inference: How.
        spacing_mm: Of images whose format carries none.
        resample_tilt: Straighten DICOM slices of a tilted gantry.
    """

    outputs: Outputs
    inference: Inference
    spacing_mm: tuple[float, float] | None
    resample_tilt: bool

    def to_json(self) -> dict[str, str | int | float | bool]:
        """All that may change a result, for the manifest."""
        inference = asdict(self.inference)
        compute = self.inference.compute.to_json()
        return {
            **{name: value for name, value in inference.items() if name != "compute"},
            **{name: value for name, value in compute.items() if name != "compile"},
            **asdict(self.outputs),
            "spacing_mm": ",".join(map(str, self.spacing_mm or ())),
            "resample_tilt": self.resample_tilt,
        }


@dataclass(frozen=True, eq=False)
class Work:
    """What is the same for all studies.

    Attributes:
        segmenter: At work.
        record: Which it is.
        options: What the user chose.
        output: Folder for the results.
    """

    segmenter: Segmenter
    record: SegmenterRecord
    options: SegmentOptions
    output: Path

    def key(self, inputs: tuple[InputRecord, ...]) -> str:
        """What the results of these inputs are known by."""
        return case_key(inputs, self.record, self.options)


def case_key(
    inputs: tuple[InputRecord, ...], record: SegmenterRecord, options: SegmentOptions
) -> str:
    """What the results of inputs are known by: the same key, the same mask."""
    return digest_json(
        {
            "inputs": [one.sha256 for one in inputs],
            "segmenter": record.digest,
            "settings": options.to_json(),
        }
    )
