"""What `segment` is given in tests: images of noise, options, failures of before."""

import torch
from segpipe.tools.segmenting.options import Outputs, SegmentOptions

from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Inference
from segpipe.tools.segmenting.manifest import Failure, InputRecord
from segpipe.tools.segmenting.run import segment

COMPUTE = Compute(torch.device("cpu"), "fp32", 1)
PLAIN = Outputs(probabilities=False, uncertainty=False, instances=False, overlay=False)
ALL = Outputs(probabilities=True, uncertainty=True, instances=True, overlay=True)


def options(outputs: Outputs = PLAIN, **changes) -> SegmentOptions:
    inference = Inference(0.25, "gaussian", 1.0, False, COMPUTE)
    given = {"spacing_mm": None, "resample_tilt": False, **changes}
    return SegmentOptions(outputs=outputs, inference=inference, **given)


def run(model, inputs, output, given=None, *, force=False, root=None):
    return segment(
        str(model),
        inputs,
        output,
        given or options(),
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
