"""OpenVINO against torch, which computes the known answer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segpipe.networks.build import apply_network
from segpipe.networks.engine import LARGEST, OpenVinoNetwork
from segpipe.networks.resenc2d import ResEnc2d
from segpipe.networks.resenc3d import ResEnc3d
from segpipe.networks.topology import choose_topology
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from tests.support.segmenters import NONE, TUMOUR, make_plan, make_segmenter

ROOT = Path(__file__).parents[2]
TORCH = Inference(
    0.5, "gaussian", 0.001, False, Compute(torch.device("cpu"), "fp32", 1)
)
OPENVINO = replace(TORCH, compute=replace(TORCH.compute, engine="openvino"))
FLAT, CUBE = (16, 16, 1), (16, 16, 16)
TIE = 2e-4  # of two probabilities


def segmenter(network: str = "unet3d", **changes) -> Segmenter:
    overlap = changes.pop("overlap", {})
    plan = make_plan(normalization=(NONE,), **overlap)
    patch = FLAT if network == "unet2d" else CUBE
    return make_segmenter(plan, network=network, **{"patch_size": patch, **changes})


def image(shape=(24, 16, 20)) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(1, *shape))
    return drawn.astype(np.float32)


def run(made: Segmenter, how: Inference, array: np.ndarray, **options) -> torch.Tensor:
    slabs = made.probabilities([array], array.shape[1:], how, **options)
    return torch.cat([slab.values for slab in slabs])


def assert_equal_but_for_ties(made: Segmenter, one, other) -> None:
    """A structure that may overlap ties at 1/2, and classes with each other."""
    outputs = made.spec.outputs
    apart = outputs.decode(one) != outputs.decode(other)
    if outputs.overlap:
        gap = (one - 0.5).abs().min(dim=1).values
    else:
        gap = one.topk(2, dim=1).values.diff(dim=1)[:, 0].abs()
    assert (gap[apart] < TIE).all()
    assert float(apart.float().mean()) < 0.001


@pytest.mark.parametrize("network", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize(
    ("mirror", "changes"),
    [
        (False, {}),
        (True, {"seeds": (1, 2), "temperatures": (1.5, 0.5)}),
        (False, {"overlap": TUMOUR}),
    ],
    ids=["alone", "mirrored folds", "structures that overlap"],
)
def test_labels_are_those_of_torch_but_for_ties(
    network: str, mirror: bool, changes
) -> None:
    made, array = segmenter(network, **changes), image()

    expected = run(made, replace(TORCH, mirror=mirror), array, with_disagreement=True)
    found = run(made, replace(OPENVINO, mirror=mirror), array, with_disagreement=True)

    torch.testing.assert_close(found, expected, atol=TIE / 2, rtol=0)
    channels = made.spec.outputs.channels
    assert len(expected[:, :channels].argmax(1).unique()) > 1
    assert_equal_but_for_ties(made, expected[:, :channels], found[:, :channels])


def test_valid_convolutions_and_several_shapes_give_what_torch_gives() -> None:
    """The crops to the sizes above them are traced at one size and used at others."""
    made = segmenter("unet2d", padding="valid", patch_size=(204, 204, 1))
    for shape in ((40, 60, 2), (70, 50, 1)):
        found = run(made, OPENVINO, image(shape))

        torch.testing.assert_close(
            found, run(made, TORCH, image(shape)), atol=TIE, rtol=0
        )


def test_precision_is_the_one_that_is_asked_for() -> None:
    """OpenVINO itself would take bf16 wherever the processor has it."""
    network, tile = segmenter("vnet").networks[0], torch.from_numpy(image(CUBE))[None]
    with torch.inference_mode():
        expected = network(tile)
    options = {"slice_axis": None, "threads": 1}

    exact = OpenVinoNetwork(network, bf16=False, **options)(tile)
    rough = OpenVinoNetwork(network, bf16=True, **options)(tile)

    torch.testing.assert_close(exact, expected, atol=1e-4, rtol=1e-4)
    largest = float(expected.abs().max())
    torch.testing.assert_close(rough, expected, atol=0.1 * largest, rtol=0)
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        assert not torch.allclose(rough, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "size", "spacing"),
    [(ResEnc2d, (32, 24), (1.0, 1.0)), (ResEnc3d, (8, 32, 24), (4.0, 1.0, 1.0))],
)
def test_a_network_with_strides_by_axis_gives_what_torch_gives(
    kind, size, spacing
) -> None:
    torch.manual_seed(0)
    topology = choose_topology(size, spacing)
    network = kind(1, 3, base_channels=4, topology=topology).eval()
    axis = 2 if len(size) == 2 else None
    tile = torch.randn(2, 1, *size, *([1] if axis else []))

    found = OpenVinoNetwork(network, slice_axis=axis, bf16=False, threads=1)(tile)

    with torch.inference_mode():
        expected = apply_network(network, tile, axis)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_tiles_of_a_batch_do_not_overwrite_each_other() -> None:
    network = segmenter().networks[0]
    tiles = torch.from_numpy(image((48, 16, 16))).reshape(3, 1, *CUBE)

    found = OpenVinoNetwork(network, slice_axis=None, bf16=False, threads=1)(tiles)

    with torch.inference_mode():
        torch.testing.assert_close(found, network(tiles), atol=1e-3, rtol=1e-3)


def test_a_second_conversion_gives_the_same_bytes() -> None:
    first, second = (run(segmenter("vnet"), OPENVINO, image()) for _ in range(2))

    assert torch.equal(first, second)


@pytest.mark.parametrize("network", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_an_image_that_overflows_is_refused_and_no_empty_mask(
    network: str, value: float
) -> None:
    """OpenVINO alone makes finite logits of these (its ReLU of NaN is 0)."""
    array = image()
    array[0, 4:12, 4:12, 4:12] = value

    with pytest.raises(DataError, match="expected finite logits"):
        run(segmenter(network), OPENVINO, array)


def test_torch_computes_tiles_with_extreme_values() -> None:
    """The normalization squares its input, and OpenVINO's gives up at 1e20."""
    made, array = segmenter(), image()
    array[0, 8, 8, 8] = 1e20

    assert torch.equal(run(made, OPENVINO, array), run(made, TORCH, array))
    array[0, 8, 8, 8] = LARGEST
    assert not torch.equal(run(made, OPENVINO, array), run(made, TORCH, array))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    made = segmenter()
    weight = next(iter(made.networks[0].parameters()))
    torch.nn.init.constant_(weight, value)

    with pytest.raises(DataError, match="expected torch's logits within"):
        run(made, OPENVINO, image())


def test_openvino_is_imported_for_its_engine_only_and_sends_nothing() -> None:
    """Its import alone tells its makers, through a process that is forked for it."""
    code = (
        "import sys\n"
        "from tests.networks import test_engine as t\n"
        "t.run(t.segmenter('vnet'), t.TORCH, t.image())\n"
        "assert 'openvino' not in sys.modules\n"
        "def look(event, args):\n"
        "    outside = ('socket.', 'subprocess.', 'os.fork', 'os.posix_spawn')\n"
        "    if event.startswith(outside):\n"
        "        print(event, args)\n"
        "sys.addaudithook(look)\n"
        "t.run(t.segmenter('vnet'), t.OPENVINO, t.image())\n"
        "assert 'openvino' in sys.modules\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_network_without_a_single_graph_is_refused_and_torch_computes_it() -> None:
    made = segmenter("maskrcnn", patch_size=FLAT)
    flat = image((16, 16, 1))

    with pytest.raises(DataError, match=r"found a MaskRCNN, .*set the engine to torch"):
        run(made, OPENVINO, flat)
    assert run(made, TORCH, flat).shape == (16, 3, 16, 1)
