"""Segment NIfTI images with the ONNX networks that lie beside this file.

It needs Python 3.11, numpy, onnxruntime and nibabel, and the spec.json of `segpipe
export`. It holds all probabilities: 4 bytes per class and resampled voxel.
"""

import argparse
import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import onnxruntime as ort

Array = np.ndarray  # [i, j, k], channels or outputs first
FOLDER = Path(__file__).resolve().parent
MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # by NIfTI's xyzt_units: metre, micrometre


def main() -> None:
    """Read the command line, segment, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("images", nargs="+", help="NIfTI files, one a channel")
    parser.add_argument("-o", "--output", required=True, help="label map to write")
    parser.add_argument("--overlap", type=float, default=0.5, help="0 to 0.9 (0.5)")
    words = parser.parse_args()
    right = words.output.endswith((".nii", ".nii.gz"))
    if not right or not 0 <= words.overlap <= 0.9:
        parser.error("expected OUTPUT.nii or OUTPUT.nii.gz, and an overlap 0 to 0.9")
    spec = json.loads((FOLDER / "spec.json").read_text(encoding="utf-8"))
    if spec["postprocessing"]:
        print("not applied: the post-processing of spec.json", file=sys.stderr)  # noqa: T201
    array, affine, first = read_channels(words.images, spec["plan"]["channels"])
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    use = [name for name in wanted if name in ort.get_available_providers()]
    files = [FOLDER / f"network-{n}.onnx" for n in range(len(spec["temperatures"]))]
    networks = [ort.InferenceSession(file, providers=use) for file in files]
    labels = segment(array, affine, spec, networks, words.overlap)
    header = first.header.copy()
    header.set_data_dtype(labels.dtype)
    header["cal_min"], header["cal_max"] = 0, 0  # how to show the image, not labels
    nib.save(type(first)(labels, first.affine, header), words.output)


def read_channels(paths: list[str], names: list[str]) -> tuple[Array, Array, Any]:
    """Read the image (channel i j k) in float32, affine in mm, and the first file."""
    files = [read_image(path) for path in paths]
    array, affine, first = files[0]
    for path, (other, where, _) in zip(paths, files, strict=True):
        if other.shape[1:] != array.shape[1:] or np.abs(where - affine).max() > 1e-3:
            sys.exit(f"{path}: expected the grid of {paths[0]}, found another")
    array = np.concatenate([one for one, _, _ in files])
    if len(array) != len(names):
        sys.exit(f"expected the channels {', '.join(names)}, found {len(array)}")
    return array, affine, first


def read_image(path: str) -> tuple[Array, Array, Any]:
    """Read the channels (channel i j k; RGB has three), affine in mm and the file."""
    try:
        image: Any = nib.load(path)
        voxels = np.asanyarray(image.dataobj)
    except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
        sys.exit(f"{path}: expected a NIfTI file, found {error}")
    head, shape = image.header, (*image.shape, 1)[: max(3, len(image.shape))]
    right = isinstance(image, nib.Nifti1Image)  # so is NIfTI-2
    if not right or len(shape) < 3 or any(size > 1 for size in shape[3:]):
        sys.exit(f"{path}: expected NIfTI of 2 or 3 axes, found {image.shape}")
    if head["qform_code"] <= 0 and head["sform_code"] <= 0:
        sys.exit(f"{path}: expected a position in space, found qform and sform code 0")
    names = voxels.dtype.names
    parts = [voxels[name] for name in names] if names else [voxels]
    array = np.stack([part.reshape(shape[:3]) for part in parts]).astype(np.float32)
    if not np.isfinite(array).all():
        sys.exit(f"{path}: expected finite voxels, found NaN or infinite; fill them")
    unit = MM_PER_UNIT.get(int(head["xyzt_units"]) & 7, 1.0)
    return array, image.affine * [[unit], [unit], [unit], [1]], image


def segment(
    array: Array, affine: Array, spec: Any, networks: Any, overlap: float
) -> Array:
    """Segment an image (channel i j k): label map (i j k) in the data set's values."""
    plan = spec["plan"]
    axes, flips = canonical(affine)
    array = np.stack([np.flip(one.transpose(axes), flips) for one in array])
    shape = array.shape[1:]
    own = np.linalg.norm(affine[:3, :3], axis=0)[list(axes)]
    inside = region(array, plan.get("region"))
    moments = (
        []
        if inside is None
        else [
            (one[inside].mean(dtype=float), one[inside].std(dtype=float))
            for one in array
        ]
    )
    scales = percentile_scales(array, plan)
    goal = [
        max(1, round(shape[n] * own[n] / plan["spacing"][n])) if shape[n] > 1 else 1
        for n in range(3)
    ]
    for axis in sorted(range(3), key=lambda n: goal[n] / shape[n]):
        array = resample(array, 1 + axis, goal[axis], average=goal[axis] < shape[axis])
    moments = moments or [
        (one.mean(dtype=float), one.std(dtype=float)) for one in array
    ]
    moments = [
        pair if scale is None else scale
        for pair, scale in zip(moments, scales, strict=True)
    ]
    array = np.stack(list(map(normalize, array, plan["normalization"], moments)))
    shares = probabilities(array, spec, networks, overlap)
    kind = np.result_type(*(np.min_scalar_type(value) for value in plan["values"]))
    unions = plan.get("unions")  # structures that may overlap, each true or not
    labels = np.zeros(shape, kind)
    best = np.full(shape, 0.5 if unions else -1, np.float32)
    if spec.get("target") == "contact":  # it counts for the likeliest structure
        shares = np.concatenate([shares[:1] - shares[-1:], shares[1:-1]])
    if spec.get("target") == "distance":  # the levels of each structure, in order
        levels = shares[1:].reshape(len(plan["values"]) - 1, -1, *shares.shape[1:])
        shares = np.concatenate([shares[:1], levels.sum(1)])
    written = unions["order"] if unions else plan["values"]
    for value, share in zip(written, shares, strict=True):
        for axis in (2, 1, 0):
            share = resample(share, axis, shape[axis], average=False)
        wins = share > best
        labels[wins] = value
        if not unions:
            best[wins] = share[wins]
    return np.ascontiguousarray(np.flip(labels, flips).transpose(np.argsort(axes)))


def canonical(affine: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The old axis of each new one, and the axes to flip then, to reach RAS order."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    ways = itertools.permutations(range(3))
    axes = max(ways, key=lambda way: float(np.abs(directions[range(3), way]).sum()))
    return axes, tuple(n for n in range(3) if directions[n, axes[n]] < 0)


def resample(array: Array, axis: int, size: int, *, average: bool) -> Array:
    """Resample along an axis: by means over extents, or linearly between centres."""
    length = array.shape[axis]
    if size == length:
        return array
    scale, old, new = length / size, np.arange(length), np.arange(size)[:, None]
    if average:
        ends = np.minimum(old + 1, (new + 1) * scale)
        shares = np.maximum(ends - np.maximum(old, new * scale), 0) / scale
    else:
        places = np.clip((new + 0.5) * scale - 0.5, 0, length - 1)
        shares = np.maximum(1 - np.abs(places - old), 0)
    shares = shares.astype(np.float32)  # size x length
    return np.moveaxis(np.tensordot(shares, array, (1, axis)), 0, axis)


def region(array: Array, plan: Any) -> Array | None:
    """The voxels (i j k) of an image (channel i j k) that z-scores are taken over."""
    if plan is None:  # all voxels, after resampling
        return None
    values = np.array(plan["background"], np.float32)[:, None, None, None]
    filled: Array = (array != values).any(0)
    if not filled.any():
        return np.ones_like(filled)
    if plan["kind"] == "box":
        places = np.argwhere(filled)
        filled[tuple(map(slice, places.min(0), places.max(0) + 1))] = True
    return filled


def percentile_scales(array: Array, plan: Any) -> list[tuple[float, float] | None]:
    """What is subtracted and divided by in channels with percentiles; else None."""
    light: list[float] = []
    ends: list[Any] = []  # of each channel, as it is and inverted
    for one, how in zip(array, plan["normalization"], strict=True):
        if how["kind"] != "percentile":
            ends.append(None)
            continue
        low, high = how["low"], how["high"]
        wanted = [low, high, 100 - high, 100 - low, 0, 100, 50]
        found = np.percentile(one.astype(float), wanted).tolist()
        ways = [a if a[0] != a[1] else found[4:6] for a in (found[:2], found[2:4])]
        start, end = ways[0]
        if end > start:
            light.append((found[6] - start) / (end - start))
        ends.append((ways[0], ways[1][::-1]))
    turned = plan.get("polarity") is not None and sum(light) > len(light) / 2
    scales: list[tuple[float, float] | None] = []
    for pair, how in zip(ends, plan["normalization"], strict=True):
        start, end = pair[turned] if pair else (0.0, 0.0)
        width = end - start
        scale = start + how["mean"] * width, how["standard_deviation"] * width
        scales.append(scale if pair else None)
    return scales


def normalize(channel: Array, how: Any, moments: Any) -> Array:
    """Normalize a channel (i j k) as the plan says, z-scores by mean and deviation."""
    if how["kind"] == "none":
        return channel
    if how["kind"] == "ct":
        channel = np.clip(channel, np.float32(how["low"]), np.float32(how["high"]))
        average, deviation = how["mean"], how["standard_deviation"]
    else:
        average, deviation = moments
    return (channel - np.float32(average)) / np.float32(deviation or 1)


def probabilities(image: Array, spec: Any, networks: Any, overlap: float) -> Array:
    """Probabilities (output i j k) of an image (channel i j k), tile by tile."""
    patch, cut, shape = spec["patch_size"], spec["slice_axis"], image.shape[1:]
    side = int(networks[0].get_modelmeta().custom_metadata_map["margin"])
    margin = [0 if axis == cut else side for axis in range(3)]
    window = [patch[n] - 2 * margin[n] for n in range(3)]
    starts = [tile_starts(shape[n], window[n], overlap) for n in range(3)]
    weights = np.asarray(math.prod(np.ix_(*map(blend_weights, window))))
    total = np.zeros((spec["network"]["out_channels"], *shape), np.float32)
    cover = np.zeros(shape, np.float32)
    for place in itertools.product(*starts):
        wanted = [mirrored(place[n] - margin[n], patch[n], shape[n]) for n in range(3)]
        tile = image[np.ix_(np.arange(len(image)), *wanted)]
        output = infer(tile, networks, spec, cut)
        low = [max(0, -start) for start in place]
        high = [min(window[n], shape[n] - place[n]) for n in range(3)]
        part = tuple(slice(low[n], high[n]) for n in range(3))
        goal = tuple(slice(place[n] + low[n], place[n] + high[n]) for n in range(3))
        total[:, *goal] += output[:, *part] * weights[part]
        cover[goal] += weights[part]
    total /= cover
    return total


def infer(tile: Array, networks: Any, spec: Any, cut: int | None) -> Array:
    """Mean probabilities (output i j k) of the networks for a tile (channel i j k)."""
    given = tile[None] if cut is None else tile[None].squeeze(2 + cut)
    pairs = zip(networks, spec["temperatures"], strict=True)
    logits = [one.run(["logits"], {"image": given})[0][0] / t for one, t in pairs]
    if not np.isfinite(logits).all():
        sys.exit(
            "expected finite logits, found NaN or infinity; export the model again"
        )
    if spec["plan"].get("unions"):
        found = [0.5 * (1 + np.tanh(0.5 * one)) for one in logits]  # sigmoids
    else:
        powers = [np.exp(one - one.max(0)) for one in logits]
        found = [one / one.sum(0) for one in powers]
    result = sum(found) / np.float32(len(found))
    return result if cut is None else np.expand_dims(result, 1 + cut)


def tile_starts(length: int, window: int, overlap: float) -> list[int]:
    """First voxels of the fewest evenly spread tiles with at least this overlap."""
    if length <= window:
        return [-((window - length) // 2)]
    step = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((length - window) / step) + 1
    return [round(n * (length - window) / (count - 1)) for n in range(count)]


def blend_weights(size: int) -> Array:
    """Gaussian with standard deviation size / 8, kept above 0.001."""
    places = (np.arange(size) - (size - 1) / 2) / (size / 8)
    return np.maximum(np.exp(-(places**2) / 2), 1e-3).astype(np.float32)


def mirrored(start: int, size: int, length: int) -> Array:
    """Indices of a window that may reach beyond the edges, which act as mirrors."""
    period = max(1, 2 * (length - 1))
    indices = np.arange(start, start + size) % period
    return np.minimum(indices, period - indices)


if __name__ == "__main__":
    main()
