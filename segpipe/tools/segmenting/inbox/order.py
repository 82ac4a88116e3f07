"""Order: all that a process needs to segment cases, as one JSON document."""

import os
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.versions import SegmenterRecord, locate_segmenter
from segpipe.segmenter.compute import Compute, ComputeParams, build_compute
from segpipe.segmenter.segmenter import Inference
from segpipe.segmenter.spec import SegmenterSpec, spec_file
from segpipe.tools.segmenting.manifest import InputRecord
from segpipe.tools.segmenting.options import Outputs, SegmentOptions, case_key


class SegmentSettings(BaseModel):
    """What may be chosen, as `segpipe segment` has it; the same choice, the same key.

    Not strict as other documents are: it comes from forms, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probabilities: bool = Field(False, description="Write them, a file a structure.")
    uncertainty: bool = Field(False, description="Write entropy and disagreement.")
    instances: bool = Field(False, description="Number connected components, too.")
    overlay: bool = Field(True, description="Draw what was found over the image.")
    mirror: bool = Field(False, description="Mean over mirrored images: slower.")
    overlap_fraction: float = Field(0.5, ge=0, le=0.9, description="Of tiles.")
    memory_gb: float = Field(4.0, ge=0, description="Of a forward pass.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="How.")
    threads: int = Field(1, ge=1, description="CPU threads of each case.")
    spacing_mm: tuple[float, float] | None = Field(
        None, description="Of pictures that carry none: columns, rows."
    )
    resample_tilt: bool = Field(False, description="Straighten a tilted gantry.")


class Order(Document):
    """What is the same for all cases.

    Attributes:
        folders: Of the segmenter, one a fold.
        record: Which segmenter it is.
        channels: Of the segmenter.
        settings: As chosen, with device and precision resolved.
        output: Folder for the results.
    """

    folders: tuple[str, ...]
    record: SegmenterRecord
    channels: int
    settings: SegmentSettings
    output: str

    def options(self) -> SegmentOptions:
        """The settings as segmenting takes them."""
        chosen = self.settings
        assert chosen.device != "auto", chosen
        assert chosen.precision != "auto", chosen
        compute = Compute(torch.device(chosen.device), chosen.precision, chosen.threads)
        return SegmentOptions(
            outputs=Outputs(
                chosen.probabilities,
                chosen.uncertainty,
                chosen.instances,
                chosen.overlay,
            ),
            inference=Inference(
                chosen.overlap_fraction,
                "gaussian",
                chosen.memory_gb,
                chosen.mirror,
                compute,
            ),
            spacing_mm=chosen.spacing_mm,
            resample_tilt=chosen.resample_tilt,
        )

    def key(self, inputs: tuple[InputRecord, ...]) -> str:
        """What the results of these inputs are known by."""
        return case_key(inputs, self.record, self.options())


def prepare_order(
    model: str, output: Path, settings: SegmentSettings, paths: Paths
) -> Order:
    """Find the segmenter, once for all processes, and resolve what is ``auto``.

    Args:
        model: Folder of a segmenter, or of its folds, or ``models:/NAME@ALIAS``.
        output: Folder for the results.
        settings: What was chosen.
        paths: Of the project, if there is one, for the registry's address.

    Raises:
        DataError: If there is no such segmenter or device, or no output can be written.
    """
    folders, record = locate_segmenter(model, paths)
    compute = build_compute(compute_params(settings))
    output = output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise DataError(
            f"{output}: expected a folder to write results into, found one that "
            "refuses; change its rights, or name another"
        )
    return Order(
        folders=tuple(str(folder.absolute()) for folder in folders),
        record=record,
        channels=len(SegmenterSpec.read(spec_file(folders[0])).plan.channels),
        settings=settings.model_copy(
            update={"device": compute.device.type, "precision": compute.precision}
        ),
        output=str(output),
    )


def compute_params(settings: SegmentSettings) -> ComputeParams:
    """Device, precision and threads as section compute has them."""
    return ComputeParams(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        workers=0,
        compile=False,
    )


def workers_at_once(workers: int, settings: SegmentSettings) -> int:
    """How many cases at once, so that threads do not outnumber the cores.

    Args:
        workers: As chosen; 0 leaves the choice.
        settings: With the device resolved.
    """
    if workers > 0:
        return workers
    if settings.device == "cuda":
        return 1
    return max(1, len(os.sched_getaffinity(0)) // settings.threads)
