"""The residual encoder U-Net in 3-D; resenc.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.resenc import ResEnc
from segpipe.networks.topology import Topology, choose_topology


class ResEnc3d(ResEnc):
    """The residual encoder U-Net in 3-D, for patches of 128 voxels along each axis."""

    dimensions: ClassVar[Literal[2, 3]] = 3
    name: ClassVar[str] = "resenc3d"
    usual: ClassVar[Topology] = choose_topology((128,) * 3, (1.0,) * 3)  # 6 stages
