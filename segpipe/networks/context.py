"""The front end with the basic context module; dilation.py has its source."""

from typing import ClassVar

from segpipe.networks.dilation import DilatedNetwork, Variant


class Context(DilatedNetwork):
    """The front end with the basic context module: outputs at 1/8, interpolated."""

    name: ClassVar[str] = "context"
    variant: ClassVar[Variant] = "basic"
