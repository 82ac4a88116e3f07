"""The front end with the large context module; dilation.py has its source."""

from typing import ClassVar

from segpipe.networks.dilation import DilatedNetwork, Variant


class ContextLarge(DilatedNetwork):
    """The front end with the large context module: outputs at 1/8, interpolated."""

    name: ClassVar[str] = "context_large"
    variant: ClassVar[Variant] = "large"
