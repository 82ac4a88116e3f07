"""Order: segmenter, settings and output for a process, as one JSON document."""

import os
from pathlib import Path

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import SegmenterRecord, locate_segmenter
from segpipe.segmenter.segmenter import build_inference
from segpipe.segmenter.settings import SegmentSettings
from segpipe.segmenter.spec import SegmenterSpec, spec_file
from segpipe.tools.segmenting.manifest import InputRecord
from segpipe.tools.segmenting.work import case_key, resolve_settings


class Order(Document):
    """What all cases share.

    Attributes:
        folders: Folders of the segmenter, one per fold.
        record: Which segmenter it is.
        channels: Number of channels of the segmenter.
        settings: The user's choice, with device and precision resolved.
        output: Folder for the results.
        may_lack: Whether files of some channels of a case may be missing.
    """

    folders: tuple[str, ...]
    record: SegmenterRecord
    channels: int
    settings: SegmentSettings
    output: str
    may_lack: bool = False

    def key(self, inputs: tuple[InputRecord, ...]) -> str:
        """The key of the results of these inputs."""
        return case_key(inputs, self.record, self.settings)


def prepare_order(
    model: str, output: Path, settings: SegmentSettings, paths: Paths
) -> Order:
    """Find the segmenter once for all processes, and resolve device and precision.

    Args:
        model: Folder of a segmenter, or of its folds, or ``models:/NAME@ALIAS``.
        output: Folder for the results.
        settings: The user's choice.
        paths: Paths of the project, whose registry is asked.

    Raises:
        DataError: If there is no such segmenter or device, or the output folder cannot
            be written to.
    """
    folders, record = locate_segmenter(model, paths)
    compute = build_inference(settings).compute
    output = output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise DataError(
            f"{output}: expected a folder that can be written to, found one that "
            "cannot; change its rights, or name another"
        )
    spec = SegmenterSpec.read(spec_file(folders[0]))
    return Order(
        folders=tuple(str(folder.absolute()) for folder in folders),
        record=record,
        channels=len(spec.plan.channels),
        settings=resolve_settings(settings, compute, spec),
        output=str(output),
        may_lack=spec.plan.missing_channels is not None,
    )


def workers_at_once(workers: int, settings: SegmentSettings) -> int:
    """Number of cases at once, so that threads do not outnumber the cores.

    Args:
        workers: The user's choice; 0 leaves it to this function.
        settings: Settings with the device resolved.
    """
    if workers > 0:
        return workers
    if settings.device == "cuda":
        return 1
    return max(1, len(os.sched_getaffinity(0)) // settings.threads)
