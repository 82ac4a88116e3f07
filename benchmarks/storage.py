"""The prepared format: random patches a second, .npy memory maps against others.

    python -m benchmarks.storage

Files are written to a temporary folder and read from the page cache, as in a training
from its second epoch on; each read opens the file again. Ours reads through
mirrored_window, as the sampling of the training does.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import blosc2
import nibabel as nib
import numpy as np
import zarr
from scipy import ndimage

from benchmarks.timing import last_line, ratios, seconds
from segpipe.images.volume import mirrored_window

SHAPE = (192, 192, 160)
PATCH = (64, 64, 48)
CHUNK = (64, 64, 64)
PATCHES = 48
ROUNDS = 5
Read = Callable[[tuple[slice, ...]], np.ndarray]


def draw_volume() -> np.ndarray:
    """Draw smooth structures and noise, normalized as preprocess writes them."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=tuple(n // 16 for n in SHAPE))
    smooth = ndimage.zoom(coarse, 16, order=1)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    volume = smooth + 0.1 * rng.normal(size=SHAPE)
    return np.asarray((volume - volume.mean()) / volume.std(), dtype=np.float32)


def write_all(volume: np.ndarray, folder: Path) -> dict[str, tuple[Path, Read]]:
    """Write the volume in each format; maps its name to the file and its reader."""
    npy, b2nd = folder / "volume.npy", folder / "volume.b2nd"
    store, plain, packed = (
        folder / name for name in ("volume.zarr", "volume.nii", "volume.nii.gz")
    )
    np.save(npy, volume)
    blosc2.asarray(volume, urlpath=str(b2nd), chunks=CHUNK, mode="w")
    array = zarr.create_array(
        store=str(store), shape=SHAPE, chunks=CHUNK, dtype="float32"
    )
    array[:] = volume
    image = nib.Nifti1Image(volume, np.eye(4))
    nib.save(image, plain)
    nib.save(image, packed)
    return {
        ".npy memory map (ours)": (
            npy,
            lambda window: mirrored_window(
                np.load(npy, mmap_mode="r"),
                (window[0].start, window[1].start, window[2].start),
                PATCH,
            ),
        ),
        "blosc2": (b2nd, lambda window: blosc2.open(str(b2nd), mode="r")[window]),
        "zarr": (store, lambda window: zarr.open_array(str(store), mode="r")[window]),
        ".nii memory map": (
            plain,
            lambda window: np.asarray(nib.load(plain).dataobj[window]),
        ),
        ".nii.gz": (
            packed,
            lambda window: np.asarray(nib.load(packed).dataobj)[window],
        ),
    }


def draw_windows() -> list[tuple[slice, ...]]:
    """Draw the windows of the patches."""
    rng = np.random.default_rng(1)
    starts = rng.integers(0, np.array(SHAPE) - PATCH + 1, (PATCHES, 3))
    return [
        tuple(slice(a, a + n) for a, n in zip(start, PATCH, strict=True))
        for start in starts.tolist()
    ]


def size_mb(path: Path) -> float:
    """Size of a file or folder on disk in MB."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    """Print the table; the last line compares with the fastest compressed format."""
    volume, windows = draw_volume(), draw_windows()
    with tempfile.TemporaryDirectory() as folder:
        formats = write_all(volume, Path(folder))
        for name, (_, read) in formats.items():
            assert np.array_equal(read(windows[0]), volume[windows[0]]), name
        times: dict[str, list[float]] = {name: [] for name in formats}
        for _ in range(ROUNDS):
            for name, (_, read) in formats.items():
                taken = seconds(lambda read=read: [read(w) for w in windows])
                times[name].append(taken)
        print(f"{'':24}{'patches a second':>18}{'MB on disk':>12}")
        for name, (path, _) in formats.items():
            speed = PATCHES / min(times[name])
            print(f"{name:24}{speed:18.0f}{size_mb(path):12.1f}")
    ours, *others = formats
    packed = [name for name in others if name != ".nii memory map"]
    best = min(packed, key=lambda name: min(times[name]))
    print(f"the fastest compressed format is {best}")
    print(last_line("storage", ratios(times[ours], times[best])))


if __name__ == "__main__":
    main()
