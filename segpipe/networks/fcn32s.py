"""FCN-32s; fcn.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.fcn import FCN


class FCN32s(FCN):
    """The scores of the last layer alone, up-sampled 32 times."""

    name: ClassVar[str] = "fcn32s"
    skips: ClassVar[Literal[0, 1, 2]] = 0
