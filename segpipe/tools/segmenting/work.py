"""Work: what all studies of a run share, and the key of a study's results."""

from dataclasses import dataclass
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.segmenter.settings import SegmentSettings
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.tools.segmenting.manifest import InputRecord


@dataclass(frozen=True, eq=False)
class Work:
    """What all studies share.

    Attributes:
        segmenter: The loaded segmenter.
        record: Which segmenter it is.
        settings: The user's choice, with device, precision and engine resolved.
        inference: How the segmenter runs by these settings.
        output: Folder for the results.
    """

    segmenter: Segmenter
    record: SegmenterRecord
    settings: SegmentSettings
    inference: Inference
    output: Path

    def key(self, inputs: tuple[InputRecord, ...]) -> str:
        """The key of the results of these inputs."""
        return case_key(inputs, self.record, self.settings)


def build_work(
    segmenter: Segmenter,
    record: SegmenterRecord,
    settings: SegmentSettings,
    output: Path,
) -> Work:
    """Prepare this process for a segmenter and settings.

    Raises:
        DataError: If a GPU is asked for and there is none, or if instances are asked
            for and structures overlap.
    """
    plan = segmenter.spec.plan
    if settings.instances and plan.unions is not None:
        raise DataError(
            "--instances: expected structures that do not overlap, found "
            f"{', '.join(plan.structures[1:])}; leave the option out"
        )
    inference = build_inference(settings)
    resolved = resolve_settings(settings, inference.compute, segmenter.spec)
    return Work(segmenter, record, resolved, inference, output)


def resolve_settings(
    settings: SegmentSettings, compute: Compute, spec: SegmenterSpec
) -> SegmentSettings:
    """The settings with what this machine has in place of ``auto``.

    Nothing is skipped where the plan does not know what is empty, and everything is
    looked at where there are no coarse networks.
    """
    found = {
        "device": compute.device.type,
        "precision": compute.precision,
        "engine": compute.engine,
    }
    if spec.plan.emptiness is None:
        found["skip_empty"] = "never"
    if spec.coarse is None:
        found["coarse"] = "never"
    return settings.model_copy(update=found)


def case_key(
    inputs: tuple[InputRecord, ...], record: SegmenterRecord, settings: SegmentSettings
) -> str:
    """Digest of inputs, segmenter and settings: the same key, the same mask."""
    return digest_json(
        {
            "inputs": [one.sha256 for one in inputs],
            "segmenter": record.digest,
            "settings": settings.to_json(),
        }
    )
