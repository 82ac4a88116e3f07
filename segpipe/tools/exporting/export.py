"""export: a segmenter as ONNX networks, with a script that runs them without torch."""

import importlib.util
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from segpipe.networks.build import example_size, input_channels
from segpipe.networks.catalogue import Network
from segpipe.networks.engine import is_one_graph
from segpipe.project.documents import sole_writer, write_json
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.segmenter.spec import SegmenterSpec, spec_file

PACKAGES = ("onnx", "onnxruntime")
OPSET = 18
LIMIT = 1e-3  # largest difference of onnxruntime and torch, by the largest logit
RUNNER = Path(__file__).with_name("runner.py")


@dataclass(frozen=True)
class Parity:
    """Agreement of an exported network with torch on one random patch.

    Attributes:
        largest_difference: Largest absolute difference of two logits.
        largest_logit: Largest absolute logit of torch.
    """

    largest_difference: float
    largest_logit: float

    @property
    def relative(self) -> float:
        """The difference as a share of the largest logit."""
        tiny = torch.finfo(torch.float32).tiny
        return self.largest_difference / max(self.largest_logit, tiny)


def export(model: str, output: Path, paths: Paths) -> str:
    """Write a segmenter as ONNX: network-N.onnx, spec.json, run.py and parity.json.

    Args:
        model: Folder of a segmenter, or of its folds, or ``models:/NAME@ALIAS``.
        output: A new folder. ``python output/run.py --help`` explains its use.
        paths: Paths of the project, whose registry is asked.

    Returns:
        A sentence with the largest difference between onnxruntime and torch.

    Raises:
        DataError: If packages are missing, the output is not empty, the segmenter is
            not complete, looks at a coarse resolution first or has no single graph, or
            logits differ by more than LIMIT. Nothing is left behind.
    """
    _require_packages()
    segmenter, record = load_segmenter(model, paths)
    if segmenter.coarse is not None:
        raise DataError(
            f"{model}: expected a segmenter that looks everywhere, found one with "
            "coarse: true, whose exported networks would give other label maps; train "
            "it with coarse: false to export it"
        )
    if not all(is_one_graph(network) for network in segmenter.networks):
        raise DataError(
            f"{model}: expected networks that do the same for all images, found a "
            f"{segmenter.spec.network.name}, which does what follows from what it "
            "finds; use it as a segmenter (`segpipe segment`), or export another"
        )
    found = []
    with _new_folder(output) as part:
        for number, network in enumerate(segmenter.networks):
            file = part / f"network-{number}.onnx"
            write_onnx(network, file)
            parity = compare(network, file, draw_patch(segmenter.spec))
            if not parity.relative <= LIMIT:  # NaN is refused, too
                raise DataError(
                    f"{model}, network {number}: expected onnxruntime to give torch's "
                    f"logits within {LIMIT} of the largest, found {parity.relative:.3g}"
                    "; are its weights finite, and did its training converge?"
                )
            found.append(parity)
        segmenter.spec.write(spec_file(part))
        shutil.copyfile(RUNNER, part / "run.py")
        _write_parity(part, record.digest, found)
    return _sentence(output, found)


def _sentence(output: Path, found: list[Parity]) -> str:
    worst = max(found, key=lambda parity: parity.relative)
    return (
        f"{output}: {len(found)} network{'s' if len(found) > 1 else ''} of opset "
        f"{OPSET}; onnxruntime differs from torch by at most "
        f"{worst.largest_difference:.2g} ({worst.relative:.1g} of the largest logit); "
        f"python {output / 'run.py'} --help explains its use"
    )


def write_onnx(network: Network, file: Path) -> None:
    """Write a network with its weights: ``image`` (B c i j k) in, ``logits`` out.

    The 2-D U-Net takes (B c i j). Batch and spatial axes are free at run time, within
    the sizes that the network takes; the metadata of the file hold its margin.

    This uses the TorchScript exporter, because torch.export of torch 2.13 cannot follow
    the crops of valid convolutions at free sizes. The warnings of tracing are harmless
    here: the crop depends on the network and not on the size, and Conv3d branches for
    bf16 only.
    """
    import onnx

    axes = "ijk"[: network.dimensions]
    image = torch.zeros(2, input_channels(network), *example_size(network))
    names = {0: "B", **{2 + n: name for n, name in enumerate(axes)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (image,),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={
                "image": names,
                "logits": {n: f"o{a}" if n else a for n, a in names.items()},
            },
        )
    model = onnx.load(file)
    onnx.helper.set_model_props(model, {"margin": str(network.margin)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def draw_patch(spec: SegmenterSpec) -> Float32[Tensor, "1 c ..."]:
    """Draw a patch of standard normal noise, as large as a tile and always the same."""
    size = [n for axis, n in enumerate(spec.patch_size) if axis != spec.slice_axis]
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, spec.network.in_channels, *size, generator=generator)


def compare(network: Network, file: Path, image: Float32[Tensor, "B c ..."]) -> Parity:
    """Compare a network and its export on the same image, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": image.numpy()})
    with torch.inference_mode():
        expected = network(image)
    difference = (torch.from_numpy(logits) - expected).abs().max()
    return Parity(float(difference), float(expected.abs().max()))


def _write_parity(part: Path, digest: str, found: list[Parity]) -> None:
    from onnxruntime import __version__ as onnxruntime_version

    write_json(
        part / "parity.json",
        {
            "format_version": 1,
            "segmenter": digest,
            "opset": OPSET,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime_version,
            "networks": [
                {
                    "sha256": digest_file(part / f"network-{number}.onnx"),
                    "largest_difference": parity.largest_difference,
                    "largest_logit": parity.largest_logit,
                }
                for number, parity in enumerate(found)
            ],
        },
    )


def _require_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise DataError(
            f"export: expected the packages {', '.join(PACKAGES)}, found no "
            f"{', '.join(missing)}; run `pip install 'segpipe[onnx]'`"
        )


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A temporary folder, which becomes the output if nothing fails."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise DataError(
            f"{output}: expected a new or an empty folder, found files there; "
            "choose another name, or remove it"
        )
    goal = output.resolve()
    part = goal.with_name(f".{goal.name}.part")
    with sole_writer(goal):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
        except BaseException:
            shutil.rmtree(part)
            raise
        if goal.exists():  # an empty folder, which rename cannot replace everywhere
            goal.rmdir()
        part.rename(goal)
