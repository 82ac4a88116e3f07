"""The front end alone; dilation.py has its source."""

from typing import ClassVar

from segpipe.networks.dilation import DilatedNetwork, Variant


class Dilated(DilatedNetwork):
    """The front end alone: outputs at 1/8, interpolated."""

    name: ClassVar[str] = "dilated"
    variant: ClassVar[Variant] = "none"
