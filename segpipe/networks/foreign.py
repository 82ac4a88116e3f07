"""Foreign networks: a class of MONAI between our names of width, sizes and patch.

MONAI is imported only when a model names one of its networks.
"""

import difflib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Conv2d, Conv3d, Padding, SizeRule
from segpipe.networks.topology import Topology
from segpipe.project.errors import DataError

GIVEN = ("in_channels", "out_channels", "img_size")  # by the data and the patch
LEVELS = ("deep_supervision", "deep_supr_num")  # would give more than one output
USUAL = 96  # voxels along an axis of a patch, before one is chosen
# What MONAI raises for arguments that do not fit each other.
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
Arguments = dict[str, Any]


class TransposedConv3d(nn.ConvTranspose3d):
    """A transposed convolution in float32 where ``Conv3d`` is: the same gradients fail.

    Seen in a MedNeXt of depthwise kernels 3 on features of 2 x 1 x 1.
    """

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve."""
        pairs = zip(features.shape[2:], self.kernel_size, strict=True)
        if features.device.type == "cpu" and any(n < k for n, k in pairs):
            with torch.autocast("cpu", enabled=False):
                return super().forward(features.float(), output_size)
        return super().forward(features, output_size)


SAFE: dict[type, type] = {
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.ConvTranspose3d: TransposedConv3d,
}


class Foreign(nn.Module):
    """A network of MONAI as it is, between our names of width, sizes and patch.

    Outputs are those of MONAI's class with the same weights. All normalize by
    statistics of their input unless told otherwise, so tiles keep the size of the
    training patch. Its convolutions are those of ``SAFE``, which differ only where
    torch gives wrong gradients on CPUs.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first level, MONAI's argument ``width``.
        padding: ``same``.
        arguments: Further arguments of MONAI's class, in JSON types; ``spatial_dims``
            2 makes it a network of images or slices.
        topology: Strides and kernels by the plan, for a DynUNet without its own.
        image_size: Voxels of the patch along each axis, for those that ``keep_patch``.

    Attributes:
        width: The name of MONAI's argument that is the width, one number or a list
            that begins with it.
        network: The network of MONAI.

    Raises:
        DataError: If the class does not take the arguments.
    """

    dimensions: Literal[2, 3] = 3  # unless spatial_dims says 2
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = True
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)
    takes_arguments: ClassVar[bool] = True
    follows_patch: ClassVar[bool] = False
    keeps_patch: ClassVar[bool] = False
    reads_values: ClassVar[bool] = False
    width: ClassVar[str]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 24,  # fits all classes
        padding: Padding = "same",  # not read: all pad
        arguments: Arguments | None = None,
        topology: Topology | None = None,
        image_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        given = {name: _frozen(value) for name, value in (arguments or {}).items()}
        if fault := self.find_fault(given, base_channels):
            raise DataError(f"{self.name()}, arguments: {fault}, found {arguments}")
        self.dimensions = given.get("spatial_dims", 3)
        self.in_channels = in_channels
        try:
            planned = self.planned(given, base_channels, topology)
            strides = self.strides(planned)
            self.sizes = tuple(
                SizeRule(self.name(), stride=stride, offset=0, margin=0)
                for stride in strides
            )
            self.image_size = self._sized(image_size)
            if self.image_size is not None and "img_size" in self.parameters_of():
                planned["img_size"] = self.image_size
            self.network = self._make(in_channels, out_channels, planned)
        except FAULTS as error:
            raise DataError(
                f"{self.name()}: expected base_channels and arguments of which MONAI "
                f"makes a network, found base_channels {base_channels} and "
                f"{arguments or 'none'}; MONAI says: {' '.join(str(error).split())}"
            ) from error
        whole = max(self.sizes, key=lambda rule: rule.stride)
        self.stride = whole.stride
        self.output_size, self.input_size = whole.output_size, whole.input_size
        for layer in self.modules():
            if type(layer) in SAFE:
                layer.__class__ = SAFE[type(layer)]
        hooked: Any = self  # torch's two methods have no types
        hooked.register_state_dict_post_hook(_drop_aliases)
        hooked.register_load_state_dict_pre_hook(_add_aliases)

    def forward(self, image: Float[Tensor, "B C ..."]) -> Tensor:
        """Logits of each class."""
        return torch.as_tensor(self.network(image))

    @classmethod
    def refuse(cls, arguments: Arguments, base_channels: int) -> str | None:
        """Say why params with these are refused; None if a network comes of them.

        It is built, and looks at nothing, without memory.
        """
        if fault := cls.find_fault(arguments, base_channels):
            return fault
        try:
            with torch.device("meta"), torch.no_grad():
                made = cls(1, 2, base_channels=base_channels, arguments=arguments)
                sizes = [rule.input_size(rule.stride + 1) for rule in made.sizes]
                made(torch.zeros(1, 1, *(made.image_size or sizes)))
        except (DataError, *FAULTS) as error:
            text = " ".join(str(error).split())
            return (
                f"expected arguments that fit each other and base_channels, "
                f"{base_channels}; MONAI says: {text.rpartition('MONAI says: ')[2]}"
            )
        return None

    @classmethod
    def _make(cls, in_channels: int, out_channels: int, planned: Arguments) -> Any:
        """MONAI's network, on torch's current device.

        One that ``reads_values`` while it is built is built on the CPU, and moved; the
        generator's state stays what it was.
        """
        arguments = {"in_channels": in_channels, "out_channels": out_channels}
        if not (cls.reads_values and torch.get_default_device().type == "meta"):
            return cls.kind()(**arguments, **planned)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return cls.kind()(**arguments, **planned).to("meta")

    @classmethod
    def name(cls) -> str:
        """The name in the catalogue."""
        return f"monai/{cls.__name__}"

    @classmethod
    def kind(cls) -> Any:
        """The class of MONAI, whose import takes seconds."""
        return getattr(importlib.import_module("monai.networks.nets"), cls.__name__)

    @classmethod
    def parameters_of(cls) -> Mapping[str, inspect.Parameter]:
        """The arguments of MONAI's class by name."""
        return inspect.signature(cls.kind()).parameters

    @classmethod
    def find_fault(cls, arguments: Arguments, base_channels: int) -> str | None:
        """Say what is wrong with the arguments in params; None if nothing is.

        Args:
            arguments: As params have them.
            base_channels: The width, with which an argument of the same meaning agrees.
        """
        closed = (*GIVEN, *LEVELS)
        known = [name for name in cls.parameters_of() if name not in closed]
        for name, value in arguments.items():
            if name in GIVEN:
                return f"expected no {name}, which data and patch decide; drop it"
            if name in LEVELS:
                return f"expected no {name}, as the loss takes one output; drop it"
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                mend = f"did you mean {near[0]}?" if near else "drop it"
                return (
                    f"expected arguments of monai.networks.nets.{cls.__name__}, which "
                    f"are {', '.join(known)}, and not {name}; {mend}"
                )
            first = value[0] if isinstance(value, tuple | list) and value else value
            if name == cls.width and first != base_channels:
                return (
                    f"expected {name} to begin with base_channels, {base_channels}, "
                    "which is the width; drop it here, or set both the same"
                )
            if name == "spatial_dims" and (value not in (2, 3) or value is True):
                return "expected spatial_dims 2 or 3; set it so"
        return None

    @classmethod
    def planned(
        cls, given: Arguments, base_channels: int, topology: Topology | None
    ) -> Arguments:
        """The arguments with which MONAI's class is called."""
        spatial = {"spatial_dims": given.get("spatial_dims", 3)}
        return {**spatial, cls.width: base_channels, **given}

    @classmethod
    def strides(cls, planned: Arguments) -> tuple[int, ...]:
        """The total down-sampling along each axis."""
        dimensions: int = planned["spatial_dims"]
        return (cls.stride_of(planned),) * dimensions

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """The total down-sampling, the same along all axes."""
        raise NotImplementedError

    @classmethod
    def value_of(cls, planned: Arguments, name: str) -> Any:
        """An argument as given, or MONAI's default."""
        return planned.get(name, cls.parameters_of()[name].default)

    def _sized(self, image_size: Sequence[int] | None) -> tuple[int, ...] | None:
        """The size of all inputs, for a network that keeps that of its patch."""
        if not self.keeps_patch:
            return None
        wanted = image_size or (USUAL,) * self.dimensions
        pairs = zip(self.sizes, wanted, strict=True)
        return tuple(int(rule.input_size(size)) for rule, size in pairs)


def _drop_aliases(
    module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any
) -> None:
    """Leave each tensor one name: MONAI's DynUNet holds its layers under two."""
    for alias in _aliases(module):
        del state[prefix + alias]


def _add_aliases(
    module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Give the tensors their other names back, which loading looks for."""
    for alias, name in _aliases(module).items():
        if prefix + name in state:
            state[prefix + alias] = state[prefix + name]


def _aliases(module: nn.Module) -> dict[str, str]:
    """The second and further names of weights, each with the first."""
    first: dict[int, str] = {}
    found = {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(weight), name) != name:
            found[name] = first[id(weight)]
    return found


def _frozen(value: Any) -> Any:
    """Lists of JSON as the tuples that MONAI expects."""
    if isinstance(value, list):
        return tuple(_frozen(one) for one in value)
    return value
