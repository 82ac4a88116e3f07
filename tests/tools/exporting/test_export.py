import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from segpipe.images.formats.nifti import read_image, read_label
from segpipe.images.region import Region
from segpipe.images.values import Unions
from segpipe.images.volume import Image
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import NETWORKS as CATALOGUE
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.tools.exporting.export import compare, export, write_onnx
from tests.support.narrow import narrow
from tests.support.phantoms import write_volume
from tests.support.segmentations import run as segment
from tests.support.segmenters import ZSCORE, make_plan, make_segmenter, with_coarse

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# So little memory that tiles are no larger than the patch: the runner knows no others.
INFERENCE = Inference(
    0.5, "gaussian", 1e-6, False, Compute(torch.device("cpu"), "fp32", 2)
)
NETWORKS = [
    ("unet2d", "valid"),
    ("unet2d", "same"),
    ("unet3d", "valid"),
    ("unet3d", "same"),
    ("vnet", "same"),
    ("resenc2d", "same"),
    ("resenc3d", "same"),
    ("fcn8s", "valid"),
]
PATCHES = {
    ("unet2d", "valid"): (204, 220, 1),
    ("unet2d", "same"): (32, 1, 16),
    ("unet3d", "valid"): (108, 108, 116),
    ("unet3d", "same"): (16, 24, 16),
    ("vnet", "same"): (32, 16, 16),
    ("resenc2d", "same"): (32, 1, 16),
    ("resenc3d", "same"): (16, 16, 8),
    ("context", "same"): (32, 1, 16),
    ("segnet", "same"): (32, 1, 32),
    ("deconvnet", "same"): (224, 1, 224),
    ("fcn8s", "valid"): (232, 264, 1),
    ("twopath", "valid"): (33, 41, 1),
    ("inputcascade", "valid"): (65, 73, 1),
    ("inputcascade", "same"): (40, 1, 33),
    ("convolutions", "same"): (16, 1, 17),
    ("encoder_decoder", "same"): (16, 1, 32),
}
MONAI_PATCH = (64, 32, 32)
OTHERS = [  # whose graphs are traced at one size
    ("context", "same"),
    ("segnet", "same"),
    ("deconvnet", "same"),
    ("twopath", "valid"),
    ("inputcascade", "valid"),
    ("inputcascade", "same"),
    ("convolutions", "same"),
    ("encoder_decoder", "same"),
]


REGIONS = {
    "unet2d": Region(kind="box", background=(-1024.0, 0.0)),
    "unet3d": None,  # as in older segmenters
    "resenc2d": None,
    "resenc3d": None,
    "fcn8s": None,
    "vnet": Region(kind="voxels", background=(-1024.0, 0.0)),
}

TARGETS = {("unet2d", "same"): "contact", ("unet3d", "same"): "distance"}


def network_spec(name: str, padding: str) -> NetworkSpec:
    spec = NetworkSpec(
        name=name, in_channels=2, out_channels=3, base_channels=2, padding=padding
    )
    axis = 1 if spec.dimensions == 2 else None
    return spec.for_patch(PATCHES[name, padding], (1.0, 1.2, 2.0), axis)


def segmenter(name: str, padding: str) -> Segmenter:
    """Two folds, two channels, one of them CT; values differ from class indices.

    The structures of the V-Net overlap; the U-Nets with padding learned contact and
    distance.
    """
    overlap = Unions(values=((300, 7), (7,)), order=(300, 7))
    ct = Normalization(kind="ct", low=-1, high=1.5, mean=0.1, standard_deviation=0.8)
    plan = make_plan(
        spacing=(1.0, 1.2, 2.0),
        channels=("CT", "MR"),
        normalization=(ct, ZSCORE),
        structures=("background", "a", "b"),
        values=(0, 300, 7),
        region=REGIONS[name],
        unions=overlap if name == "vnet" else None,
    )
    return make_segmenter(
        plan,
        network=name,
        padding=padding,
        patch_size=PATCHES[name, padding],
        seeds=(0, 1),
        temperatures=(0.7, 1.6),
        target=TARGETS.get((name, padding), "labels"),
    )


def fill(network: torch.nn.Module) -> None:
    """Draw weights of layers that begin at zero, so that something is computed."""
    for name, weight in network.named_parameters():
        if name.endswith("weight") and not weight.any():
            torch.nn.init.normal_(weight)


def network(spec: NetworkSpec, seed: int):
    torch.manual_seed(seed)
    made = build_network(spec).eval()
    fill(made)
    return made


def write_channels(folder) -> list:
    """Two channels whose axes run S, L, A, turned by 5 degrees, with smooth blobs."""
    shape, turn = (14, 40, 33), np.deg2rad(5)
    affine = np.zeros((4, 4))
    affine[:3, 0] = 0, 2.6 * np.sin(turn), 2.6 * np.cos(turn)
    affine[:3, 1] = -0.9, 0, 0
    affine[:3, 2] = 0, 0.8 * np.cos(turn), -0.8 * np.sin(turn)
    affine[:, 3] = 10, -20, 30, 1
    files, generator = [], np.random.default_rng(0)
    for name in ("ct", "mr"):
        noise = torch.from_numpy(generator.standard_normal((1, 1, 4, 8, 7)))
        array = torch.nn.functional.interpolate(noise, size=shape, mode="trilinear")
        array[:, :, :, 31:] = -1024 if name == "ct" else 0
        files.append(folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(array[0, 0].numpy(), affine), files[-1])
    return files


@pytest.mark.parametrize(("name", "padding"), NETWORKS + OTHERS)
def test_an_exported_network_takes_other_sizes_and_batches(
    tmp_path, name, padding
) -> None:
    made = network(network_spec(name, padding), 0)
    sizes = [made.input_size(at_least) for at_least in (17, 50, 33)]
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 2, *sizes[: made.dimensions], generator=generator)

    write_onnx(made, tmp_path / "network.onnx")

    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    assert compare(made, tmp_path / "network.onnx", image).relative < 2e-4
    graph = onnx.load(tmp_path / "network.onnx").graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["logits"]


@pytest.mark.parametrize("name", [n for n in CATALOGUE if n.startswith("monai/")])
def test_an_exported_network_of_monai_gives_the_logits_of_torch(
    tmp_path: Path, name: str
) -> None:
    """At the size of its patch, which all of its tiles have."""
    spec = NetworkSpec(
        name=name, in_channels=2, out_channels=3, padding="same", **narrow(name)
    ).for_patch(MONAI_PATCH, (1.0, 1.2, 2.0), None)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 2, *MONAI_PATCH, generator=generator)
    made = network(spec, 0)

    write_onnx(made, tmp_path / "network.onnx")

    assert compare(made, tmp_path / "network.onnx", image).relative < 2e-4


@pytest.mark.parametrize(("name", "padding"), NETWORKS)
def test_the_runner_labels_like_the_segmenter(tmp_path, name, padding) -> None:
    """Except for ties within rounding, fewer than one voxel in a thousand."""
    made = segmenter(name, padding)
    for built in made.networks:
        fill(built)
    made.save(tmp_path / "segmenter")
    files = write_channels(tmp_path)
    images = [read_image(file) for file in files]
    array = np.concatenate([image.array for image in images])
    expected = made.segment(Image(array, images[0].grid), INFERENCE).array

    said = export(str(tmp_path / "segmenter"), tmp_path / "out", Paths(tmp_path))
    command = [tmp_path / "out" / "run.py", *files, "-o", tmp_path / "label.nii.gz"]
    subprocess.run(
        [sys.executable, "-I", *command],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        timeout=240,
    )

    label = read_label(tmp_path / "label.nii.gz")
    differing = int((label.array != expected).sum())
    logged = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert differing < 0.001 * expected.size, f"{differing} of {expected.size} differ"
    assert np.bincount(expected.ravel()).max() < 0.98 * expected.size  # not one class
    assert label.grid.distance(images[0].grid) < 1e-3
    assert logged["segmenter"] == segmenter_digest(tmp_path / "segmenter")
    assert len(logged["networks"]) == 2
    assert "2 networks of opset 18; onnxruntime differs from torch by at most" in said


def test_the_runner_knows_neither_torch_nor_segpipe(tmp_path) -> None:
    segmenter("vnet", "same").save(tmp_path / "segmenter")
    export(str(tmp_path / "segmenter"), tmp_path / "out", Paths(tmp_path))
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = sys.modules['segpipe'] = sys.modules['scipy'] = None\n"
        f"sys.argv = ['run.py', '--help']\nrunpy.run_path({str(tmp_path / 'out')!r}"
        " + '/run.py', run_name='__main__')"
    )

    result = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.returncode == 0, result.stderr
    assert "usage: run.py" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "network-0.onnx",
        "network-1.onnx",
        "parity.json",
        "run.py",
        "spec.json",
    ]


def test_an_occupied_output_is_refused_and_an_empty_one_filled(tmp_path) -> None:
    segmenter("unet2d", "same").save(tmp_path / "segmenter")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()

    for name in ("full", "file"):
        with pytest.raises(DataError, match="expected a new or an empty folder"):
            export(str(tmp_path / "segmenter"), tmp_path / name, Paths(tmp_path))
    export(str(tmp_path / "segmenter"), tmp_path / "empty", Paths(tmp_path))

    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "empty" / "run.py").is_file()


def test_a_network_that_disagrees_leaves_nothing_behind(tmp_path) -> None:
    """Finite weights whose logits overflow give no small difference of logits."""
    made = segmenter("unet2d", "same")
    with torch.no_grad():
        next(iter(made.networks[1].parameters())).fill_(3e38)
    made.save(tmp_path / "segmenter")

    with pytest.raises(DataError, match=r"network 1: expected .* found nan"):
        export(str(tmp_path / "segmenter"), tmp_path / "out", Paths(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["segmenter"]


def test_missing_packages_come_with_the_command_that_installs_them(
    tmp_path, monkeypatch
) -> None:
    """Python itself marks an absent module by None in sys.modules."""
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(DataError, match=r"found no onnx; run `pip install 'segpipe\["):
        export(str(tmp_path), tmp_path / "out", Paths(tmp_path))


def test_a_segmenter_that_looks_at_a_coarse_resolution_first_is_refused(
    tmp_path: Path,
) -> None:
    made = make_segmenter(make_plan(), network="unet3d")
    with_coarse(made, factor=(2, 2, 2), threshold=0.5).save(tmp_path / "made")

    with pytest.raises(DataError, match="train it with coarse: false to export it"):
        export(str(tmp_path / "made"), tmp_path / "out", Paths(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_network_without_a_single_graph_is_refused_and_may_segment(
    tmp_path: Path,
) -> None:
    made = make_segmenter(make_plan(), network="maskrcnn", patch_size=(32, 32, 1))
    made.save(tmp_path / "segmenter")

    with pytest.raises(DataError, match="found a maskrcnn, which does what follows"):
        export(str(tmp_path / "segmenter"), tmp_path / "out", Paths(tmp_path))
    assert not (tmp_path / "out").exists()
    write_volume(tmp_path / "case.nii.gz")
    done = segment(
        tmp_path / "segmenter", [tmp_path / "case.nii.gz"], tmp_path / "made"
    )
    assert done.done == ("case",)
