"""SegmenterSpec: all that a segmenter needs besides its weights."""

from pathlib import Path
from typing import Literal

from segpipe.networks.build import NetworkSpec
from segpipe.project.documents import Document
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.postprocessing import StructureRule

SPEC = "spec.json"


def spec_file(folder: Path) -> Path:
    """The file of the spec in the folder of a segmenter."""
    return folder / SPEC


class SegmenterSpec(Document):
    """All that the use of a segmenter needs besides the weights.

    Attributes:
        format_version: Of this document.
        model: Name of the model in params.yaml.
        network: Which network.
        plan: Preparation, structures and fingerprint of the training data.
        patch_size: Input voxels of a tile.
        slice_axis: The axis across which a 2-D network takes slices.
        temperatures: By which the logits of each network are divided; 1 unless
            calibrated.
        postprocessing: What is put right in the label map: one a structure, background
            left out; or none at all.
    """

    format_version: Literal[1]
    model: str
    network: NetworkSpec
    plan: Plan
    patch_size: tuple[int, int, int]
    slice_axis: int | None
    temperatures: tuple[float, ...]
    postprocessing: tuple[StructureRule, ...] = ()  # older segmenters have none

    @property
    def rules(self) -> dict[int, StructureRule]:
        """The post-processing that does something, by the data set's values."""
        pairs = zip(self.plan.values[1:], self.postprocessing, strict=False)
        return {v: rule for v, rule in pairs if rule.drops or rule.fill_holes}
