"""A dossier as readers see it: balls in noise, or cells in a picture."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

SECRETS = ("case_secret_17", "patient-secret-4", "candidate", "champion", "0.87654")
CASE, PATIENT = SECRETS[:2]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def ball(
    shape: tuple[int, ...], center: tuple[float, ...], radius: float
) -> np.ndarray:
    axes = np.indices(shape).astype(float)
    distance = sum((a - c) ** 2 for a, c in zip(axes, center, strict=True))
    return np.asarray(distance <= radius**2)


def masks_of(letter: str, shape: tuple[int, ...]) -> np.ndarray:
    """Two structures, both on the patient's right; B has the second elsewhere."""
    mask = np.zeros(shape, np.uint8)
    k = shape[2] // 2
    radius = 8 if shape[2] > 1 else 6
    mask[ball(shape, (30, 24, k), radius)] = 1
    mask[ball(shape, (30, 10 if letter != "B" else 16, k), 4)] = 2
    return mask


def write_dossier(
    folder: Path,
    *,
    items: int = 3,
    shape: tuple[int, int, int] = (40, 36, 28),
    unit: str = "mm",
    name: str = "phantom",
    trainers: tuple[str, ...] = (),
    case: str = CASE,
    previous: Sequence[int] = (),
) -> Path:
    """Write a dossier; all its items show the same, but for the noise.

    Args:
        previous: Slices of the previous study of each item that has one. Its voxels
            have 60 and four more each slice, so that each slice has a grey of its own.
    """
    files: dict[str, str] = {}
    listed: list[dict[str, Any]] = []
    key: dict[str, Any] = {}
    affine = (
        np.diag([1.5, 1.0, 2.0, 1.0])
        if unit == "mm"
        else np.diag([-1.0, -1.0, 1.0, 1.0])
    )
    letters = ["A", "B", "C"]
    masks = {letter: masks_of(letter, shape) for letter in letters}
    for place in range(items):
        item = digest(f"{name} {place}".encode())[:12]
        noise = np.random.default_rng(place).normal(100, 10, shape)
        image = noise + 60 * (masks["A"] > 0)
        arrays = {"image": image.astype(np.int16), **masks}
        for stem, array in arrays.items():
            path = folder / "items" / item / f"{stem}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, affine), path)
        if place < len(previous):
            grey = 60 + 4 * np.arange(previous[place])
            study = np.broadcast_to(grey, (*shape[:2], len(grey))).astype(np.int16)
            nib.save(nib.Nifti1Image(study, affine), path.parent / "previous.nii.gz")
            page = Image.fromarray(study[:, :, 0].astype(np.uint8)).resize((400, 360))
            page.save(path.parent / "previous-montage.png")
        plane = np.clip(image[:, :, shape[2] // 2], 0, 255).astype(np.uint8)
        montage = Image.fromarray(plane.T).resize((400, 360))
        montage.save(path.parent / "montage.png", compress_level=1)
        for file in sorted(path.parent.iterdir()):
            files[str(file.relative_to(folder))] = digest(file.read_bytes())
        listed.append({"id": item, "letters": letters})
        if place < len(previous):
            listed[-1]["has_previous"] = True
        key[item] = {
            "case": case,
            "patient": PATIENT,
            "stratum": "worst",
            "letters": {"A": "candidate", "B": "champion", "C": "reference"},
            "figures": {"ball": {"candidate.dice": 0.87654}},
        }
    (folder / "key.json").write_text(json.dumps({"items": key}))
    files["key.json"] = digest((folder / "key.json").read_bytes())
    document = {
        "format_version": 1,
        "name": name,
        "version": "3",
        "segmenter": digest(b"segmenter"),
        "champion": digest(b"before"),
        "protocol": digest(b"protocol"),
        "data": None,
        "code": None,
        "made": "2026-11-26T10:00:00Z",
        "structures": [{"name": "ball", "value": 1}, {"name": "spot <b>", "value": 2}],
        "unit": unit,
        "windows": [{"name": "soft", "low": 60, "high": 180}],
        "items": listed,
        "files": files,
    }
    document["registered"] = {
        **{key: document[key] for key in ("name", "version", "segmenter", "data")},
        "code": None,
        "trainers": trainers,
    }
    (folder / "dossier.json").write_text(json.dumps(document))
    return folder
