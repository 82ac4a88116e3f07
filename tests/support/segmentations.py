"""Segmenting in tests: settings, the call itself, a failure of an earlier run."""

from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.manifest import Failure, InputRecord
from segpipe.tools.segmenting.run import segment

PLAIN = SegmentSettings(
    overlap_fraction=0.25,
    memory_gb=1.0,
    device="cpu",
    precision="fp32",
    overlay=False,
)
ALL = PLAIN.model_copy(
    update=dict.fromkeys(["probabilities", "uncertainty", "instances", "overlay"], True)
)


def run(model, inputs, output, given=PLAIN, *, force=False, root=None):
    return segment(
        str(model),
        inputs,
        output,
        given,
        force=force,
        paths=Paths(root or output.parent),
    )


def failure(kind: str, **changes) -> Failure:
    given = {"case": "x", "limit_s": 60.0, **changes}
    return Failure(
        format_version=1,
        made="2026-11-21T00:00:00+00:00",
        key="k",
        inputs=(InputRecord(name="x.nii", files=1, sha256="0"),),
        kind=kind,
        reason="r",
        **given,
    )
