"""TwoPathCNN, two paths once; cascade.py has its source."""

from typing import ClassVar

from segpipe.networks.cascade import CascadeNetwork


class TwoPath(CascadeNetwork):
    """Both paths once."""

    name: ClassVar[str] = "twopath"
    twice: ClassVar[bool] = False
