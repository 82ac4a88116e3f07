"""The folder of a segmenter: its spec, what its outputs mean, and its weights."""

from typing import Never

# What models import that were registered when this was one module; see segpipe/compute.
MOVED = {"SegmenterSpec", "ensemble_digest", "segmenter_digest"}


def __getattr__(name: str) -> Never:
    if name in MOVED:
        raise ImportError(
            "this model was registered by an older segpipe, whose modules lay "
            "elsewhere: register it again with `segpipe register`; `segpipe segment` "
            "reads it as it is"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
