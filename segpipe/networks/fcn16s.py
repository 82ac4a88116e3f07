"""FCN-16s; fcn.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.fcn import FCN


class FCN16s(FCN):
    """The scores of the last layer and pool4, up-sampled 16 times."""

    name: ClassVar[str] = "fcn16s"
    skips: ClassVar[Literal[0, 1, 2]] = 1
    starts_from: ClassVar[tuple[str, ...]] = ("fcn32s",)
