"""A network that OpenVINO computes on a CPU, in place of torch."""

import importlib
import importlib.util
import sys
import warnings
from functools import cache
from typing import Any, cast

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from segpipe.networks.build import apply_network, example_size, input_channels
from segpipe.networks.catalogue import Network
from segpipe.project.errors import DataError

# A tile with a value beyond this is left to torch. OpenVINO's ReLU and normalization
# make 0 of NaN, so a value that is not finite, or an overflow, would end as a label.
LARGEST = 1e5
LIMIT = 0.01  # largest difference of OpenVINO and torch, by the largest logit


def require_openvino() -> None:
    """Check that OpenVINO is installed; it is not imported.

    Raises:
        DataError: If it is not.
    """
    if importlib.util.find_spec("openvino") is None:
        raise DataError(
            "engine openvino: expected the package openvino, found none; run "
            "`pip install 'segpipe[openvino]'`, or set the engine to torch"
        )


def is_one_graph(network: Network) -> bool:
    """Whether a network does the same for all images, so that it can be converted."""
    return getattr(network, "is_one_graph", True)


class OpenVinoNetwork:
    """A network that OpenVINO computes, tile by tile.

    It is converted once. The shape of the last tile is compiled, which takes tenths of
    a second; other shapes follow as they come, so memory does not grow.

    Args:
        network: The network, on the CPU.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        bf16: Whether convolutions are computed in bf16.
        threads: CPU threads.

    Raises:
        DataError: If it has no single graph, or does not give torch's logits.
    """

    def __init__(
        self, network: Network, *, slice_axis: int | None, bf16: bool, threads: int
    ) -> None:
        require_openvino()
        if not is_one_graph(network):
            raise DataError(
                "engine openvino: expected a network that runs in one way for all "
                f"images, found a {type(network).__name__}, which does what follows "
                "from what it finds; set the engine to torch"
            )
        self._network, self._slice_axis = network, slice_axis
        self._bf16, self._threads = bf16, threads
        example = _draw_example(network)
        self._model = _convert(network, example)
        self._shape: tuple[int, ...] = ()
        self._request: Any = None
        self._check(example)

    def __call__(
        self, tiles: Float32[Tensor, "B c i j k"]
    ) -> Float[Tensor, "B classes oi oj ok"]:
        """Compute the logits of tiles.

        Those of a single tile may be overwritten by the next call.
        """
        low, high = tiles.aminmax()
        if not (low >= -LARGEST and high <= LARGEST):  # also NaN
            return apply_network(self._network, tiles, self._slice_axis)
        seen = tiles
        if self._slice_axis is not None:
            seen = seen.squeeze(2 + self._slice_axis)
        seen = seen.contiguous()
        if len(seen) == 1:
            logits = self._infer(seen)
        else:
            logits = torch.cat(
                [self._infer(one).clone() for one in torch.split(seen, 1)]
            )
        if self._slice_axis is not None:
            return logits.unsqueeze(2 + self._slice_axis)
        return logits

    def _infer(self, image: Float32[Tensor, "1 c ..."]) -> Float32[Tensor, "1 n ..."]:
        """The logits of one tile, in memory that the next tile overwrites."""
        if self._shape != tuple(image.shape):
            self._request = None  # its memory is free before the next is compiled
            self._request = self._compile(tuple(image.shape), bf16=self._bf16)
            self._shape = tuple(image.shape)
        found = self._request.infer(
            {0: image.numpy()}, share_inputs=True, share_outputs=True
        )
        return torch.from_numpy(found[0])

    def _compile(self, shape: tuple[int, ...], *, bf16: bool) -> Any:
        """Compile for tiles of one shape; returns what runs them.

        Threads are not pinned: several processes would be given the same cores.
        """
        openvino = import_openvino()
        from openvino.properties import hint, inference_num_threads, num_streams

        self._model.reshape(openvino.PartialShape(list(shape)))
        precision = openvino.Type.bf16 if bf16 else openvino.Type.f32
        settings = {
            hint.inference_precision: precision,
            hint.enable_cpu_pinning: False,
            inference_num_threads: self._threads,
            num_streams: 1,
        }
        compiled = _core().compile_model(self._model, "CPU", settings)
        return compiled.create_infer_request()

    def _check(self, example: Float32[Tensor, "1 c ..."]) -> None:
        """Compare with torch in float32, once for each network."""
        request = self._compile(tuple(example.shape), bf16=False)
        found = torch.from_numpy(request.infer({0: example.numpy()})[0])
        device = example.device.type
        with torch.inference_mode(), torch.autocast(device, enabled=False):
            expected = self._network(example)
        largest = expected.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        apart = float((found - expected).abs().max() / largest)
        if not apart <= LIMIT:  # also NaN
            raise DataError(
                f"engine openvino: expected torch's logits within {LIMIT} of the "
                f"largest, found {apart:.3g}; set the engine to torch, and look "
                "whether the segmenter's training converged"
            )


def import_openvino() -> Any:
    """Import OpenVINO so that it sends nothing.

    Its import and its conversions send messages to its makers through the package
    openvino_telemetry, if that can be imported; OpenVINO does without it.
    """
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    return importlib.import_module("openvino")


@cache
def _core() -> Any:
    """OpenVINO's devices, found once a process."""
    return import_openvino().Core()


def _draw_example(network: Network) -> Float32[Tensor, "1 c ..."]:
    """Draw normal noise, always the same, of a small size that the network takes."""
    shape = input_channels(network), *example_size(network)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, *shape, generator=generator)


def _convert(network: Network, example: Float32[Tensor, "1 c ..."]) -> Any:
    """Convert a network to OpenVINO's graph, of which all sizes are free.

    It is traced as for ONNX. openvino.convert_model would do the same after three
    passes of the network in place of one.
    """
    import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # a crop depends on the network, not the size
        with torch.autocast(example.device.type, enabled=False):
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                network, example, check_trace=False
            )
        front = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # it must outlive the conversion
        return front.convert(front.load(decoder))
