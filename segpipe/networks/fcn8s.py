"""FCN-8s; fcn.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.fcn import FCN


class FCN8s(FCN):
    """The scores of the last layer, pool4 and pool3, up-sampled 8 times."""

    name: ClassVar[str] = "fcn8s"
    skips: ClassVar[Literal[0, 1, 2]] = 2
    starts_from: ClassVar[tuple[str, ...]] = ("fcn16s",)
