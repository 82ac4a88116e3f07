"""Segmenter: Image -> LabelMap; networks (one a fold) and all they need around them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.compute import Compute
from segpipe.documents import Document
from segpipe.errors import DataError
from segpipe.fingerprint import digest_file, digest_json
from segpipe.networks.unet2d import UNet2d
from segpipe.networks.unet3d import UNet3d
from segpipe.networks.vnet import VNet
from segpipe.plan import Plan
from segpipe.preprocessing import prepare_image, values_of
from segpipe.sliding_window import Slab, Tiling, slabs
from segpipe.volume import Image, LabelMap

Network = UNet2d | UNet3d | VNet
NetworkName = Literal["unet2d", "unet3d", "vnet"]


class NetworkSpec(Document):
    """Which network: enough to build it anew.

    Attributes:
        name: The system of the literature.
        in_channels: Of the prepared image.
        out_channels: Classes, background included.
        base_channels: Width; the other widths follow as in the paper.
        padding: ``valid`` as the U-Net papers have it, or ``same``.
    """

    name: NetworkName
    in_channels: int
    out_channels: int
    base_channels: int
    padding: Literal["valid", "same"]

    @property
    def dimensions(self) -> int:
        """2 or 3: what the network convolves over."""
        return 2 if self.name == "unet2d" else 3


class SegmenterSpec(Document):
    """spec.json: all that use needs besides the weights.

    Attributes:
        format_version: Of this document.
        model: Name of the model in params.yaml.
        network: Which network.
        plan: Preparation, structures and fingerprint of the training data.
        patch_size: Input voxels of a tile.
        slice_axis: The axis across which a 2-D network takes slices.
        temperatures: By which the logits of each network are divided; 1 unless
            calibrated.
    """

    format_version: Literal[1]
    model: str
    network: NetworkSpec
    plan: Plan
    patch_size: tuple[int, int, int]
    slice_axis: int | None
    temperatures: tuple[float, ...]


@dataclass(frozen=True)
class Inference:
    """How a segmenter runs: it may change by a hair what comes out.

    Attributes:
        overlap_fraction: Share of a tile that its neighbour covers too.
        blending: Of overlapping tiles.
        tile_batch: Tiles a forward pass.
        compute: Device, precision, threads.
    """

    overlap_fraction: float
    blending: Literal["gaussian", "constant"]
    tile_batch: int
    compute: Compute


def build_network(spec: NetworkSpec) -> Network:
    """A network with its paper's initial weights, drawn from torch's generator."""
    if spec.name == "vnet":
        return VNet(
            spec.in_channels, spec.out_channels, base_channels=spec.base_channels
        )
    kind = UNet2d if spec.name == "unet2d" else UNet3d
    return kind(
        spec.in_channels,
        spec.out_channels,
        base_channels=spec.base_channels,
        padding=spec.padding,
    )


def margin_of(network: Network, slice_axis: int | None) -> tuple[int, int, int]:
    """Input minus output of a network, a side, along i, j, k."""
    i, j, k = (0 if axis == slice_axis else network.margin for axis in range(3))
    return i, j, k


def apply_network(
    network: nn.Module, image: Float32[Tensor, "B c i j k"], slice_axis: int | None
) -> Float[Tensor, "B classes oi oj ok"]:
    """Logits of patches; a 2-D network sees them without their axis of size 1."""
    if slice_axis is None:
        volume = image.contiguous(memory_format=torch.channels_last_3d)
        return torch.as_tensor(network(volume))
    plane = image.squeeze(2 + slice_axis)
    logits = network(plane.contiguous(memory_format=torch.channels_last))
    return torch.as_tensor(logits).unsqueeze(2 + slice_axis)


@dataclass(frozen=True, eq=False)
class Segmenter:
    """What is trained, registered and used.

    Attributes:
        spec: All that use needs besides the weights.
        networks: One a fold; their probabilities are averaged.
    """

    spec: SegmenterSpec
    networks: tuple[Network, ...]

    @classmethod
    def load(cls, folder: Path) -> "Segmenter":
        """Read a segmenter; nothing is unpickled.

        Raises:
            DataError: If spec.json or weights are missing or of another format.
        """
        spec = SegmenterSpec.read(folder / "spec.json")
        files = sorted(folder.glob("weights-*.safetensors"))
        if not files:
            raise DataError(
                f"{folder}: expected weights-0.safetensors, found none; "
                "is it a whole segmenter folder?"
            )
        networks = []
        for file in files:
            network = build_network(spec.network)
            try:
                network.load_state_dict(load_file(file))
            except (RuntimeError, ValueError) as error:
                raise DataError(
                    f"{file}: expected the weights of {spec.network.name}, found "
                    f"{str(error).splitlines()[0]}; was the folder mixed up?"
                ) from error
            networks.append(network.eval())
        if len(networks) != len(spec.temperatures):
            raise DataError(
                f"{folder}: expected {len(spec.temperatures)} files of weights, as "
                f"spec.json says, found {len(networks)}; copy the whole folder"
            )
        return cls(spec, tuple(networks))

    def save(self, folder: Path) -> None:
        """Write spec.json and the weights; the same segmenter gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, network in enumerate(self.networks):
            state = {
                name: value.detach().cpu().contiguous()
                for name, value in network.state_dict().items()
            }
            (folder / f"weights-{number}.safetensors").write_bytes(save(state))
        self.spec.write(folder / "spec.json")

    @classmethod
    def ensemble(cls, folders: list[Path]) -> "Segmenter":
        """The segmenters of several folds as one.

        Raises:
            DataError: If they were not made by the same plan and network.
        """
        members = [cls.load(folder) for folder in folders]
        temperatures = tuple(t for one in members for t in one.spec.temperatures)
        specs = [
            one.spec.model_copy(update={"temperatures": temperatures})
            for one in members
        ]
        for folder, spec in zip(folders, specs, strict=True):
            if spec != specs[0]:
                raise DataError(
                    f"{folder}: expected the plan and network of {folders[0]}, found "
                    "others; run `dvc repro` so that all folds are of one making"
                )
        networks = tuple(net for member in members for net in member.networks)
        return cls(specs[0], networks)

    def probabilities(
        self, prepared: Float32[np.ndarray, "c i j k"], inference: Inference
    ) -> Iterator[Slab]:
        """Class probabilities on the prepared grid, slab by slab: mean of the folds."""
        compute = inference.compute
        networks = [network.to(compute.device).eval() for network in self.networks]
        pairs = list(zip(networks, self.spec.temperatures, strict=True))
        axis = self.spec.slice_axis

        def infer(tiles: Tensor) -> Tensor:
            total: Tensor | None = None
            with torch.inference_mode(), compute.autocast():
                for network, temperature in pairs:
                    logits = apply_network(network, tiles, axis).float()
                    share = (logits / temperature).softmax(dim=1)
                    total = share if total is None else total + share
            assert total is not None
            return total / len(networks)

        margin = margin_of(networks[0], axis)
        window = [p - 2 * m for p, m in zip(self.spec.patch_size, margin, strict=True)]
        tiling = Tiling(
            window=(window[0], window[1], window[2]),
            margin=margin,
            overlap_fraction=inference.overlap_fraction,
            blending=inference.blending,
            batch_size=inference.tile_batch,
        )
        return slabs(prepared, infer, tiling=tiling, device=compute.device)

    def segment(self, image: Image, inference: Inference) -> LabelMap:
        """Segment an image: the label map lies on its grid, in the data set's values.

        Raises:
            DataError: If the image has other channels than the segmenter learnt from.
        """
        plan = self.spec.plan
        if len(image.array) != len(plan.channels):
            raise DataError(
                f"expected {len(plan.channels)} channels ({', '.join(plan.channels)}), "
                f"found {len(image.array)}; give the files in this order"
            )
        prepared, _ = prepare_image(image, plan)
        orientation = image.grid.to_canonical
        shape = image.grid.reoriented(orientation).shape
        labels: Integer[np.ndarray, "i j k"] | None = None
        parts = resampled_slabs(
            self.probabilities(prepared, inference), prepared.shape[1:], shape
        )
        for slab in parts:
            values = values_of(slab.values.argmax(0).short().numpy(), plan)
            if labels is None:
                labels = np.empty(shape, dtype=values.dtype)
            labels[slab.start : slab.start + len(values)] = values
        assert labels is not None, "a volume has slices"
        return LabelMap(np.ascontiguousarray(orientation.undo(labels)), image.grid)


def segmenter_digest(folder: Path) -> str:
    """SHA-256 over a segmenter's spec and weights: which segmenter it is."""
    files = [folder / "spec.json", *sorted(folder.glob("weights-*.safetensors"))]
    return digest_json({file.name: digest_file(file) for file in files})


def resampled_slabs(
    parts: Iterator[Slab], source: tuple[int, ...], goal: tuple[int, int, int]
) -> Iterator[Slab]:
    """Resample slabs linearly to another shape over the same box, as they come.

    Output slice x lies at source position (x + 1/2) * source / goal - 1/2, held inside
    the volume: the grids share their outer edges (Grid.resampled). Of what came before,
    one slice is kept.

    Args:
        parts: Slabs of the source, in order.
        source: Shape of the source along i, j, k.
        goal: Shape wanted.

    Yields:
        Slabs that together cover the goal once.
    """
    if tuple(source) == tuple(goal):
        yield from parts
        return
    length, scale = source[0], source[0] / goal[0]
    kept: Tensor | None = None
    done, have = 0, 0  # slices of the goal given out; slices of the source seen
    for slab in parts:
        values = F.interpolate(
            slab.values.transpose(0, 1), size=goal[1:], mode="bilinear"
        ).transpose(0, 1)
        first = have if kept is None else have - 1
        del slab
        values = values if kept is None else torch.cat([kept, values], dim=1)
        have = first + values.shape[1]
        ready = goal[0]
        if have < length:  # the last slice that lies before source slice have - 1
            ready = min(goal[0], math.ceil((have - 0.5) / scale - 0.5))
        if ready > done:
            places = (torch.arange(done, ready, dtype=torch.float64) + 0.5) * scale
            places = (places - 0.5).clamp(0, length - 1)
            low = places.floor().long()
            high = (low + 1).clamp(max=have - 1)
            share = (places - low).float()[:, None, None]
            below, mixed = values[:, low - first], values[:, high - first]
            mixed -= below
            mixed *= share
            mixed += below
            del below
            yield Slab(done, mixed)
            del mixed
            done = ready
        kept = values[:, -1:].clone()
