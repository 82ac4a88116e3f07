"""The residual encoder U-Net in 2-D; resenc.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.resenc import ResEnc
from segpipe.networks.topology import Topology, choose_topology


class ResEnc2d(ResEnc):
    """The residual encoder U-Net in 2-D, for patches of 512 voxels along each axis."""

    dimensions: ClassVar[Literal[2, 3]] = 2
    name: ClassVar[str] = "resenc2d"
    usual: ClassVar[Topology] = choose_topology((512,) * 2, (1.0,) * 2)  # 8 stages
