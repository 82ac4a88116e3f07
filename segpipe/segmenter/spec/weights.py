"""The weights in the folder of a segmenter, and the digests that identify it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save

from segpipe.networks.build import build_network
from segpipe.networks.catalogue import Network
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.segmenter.spec.document import SPEC, SegmenterSpec, spec_file

SCHEME = "models:/"  # begins the address of a registered segmenter, instead of a folder
HEADER_BYTES = 1024  # of a header of weights for one tensor; it needs about 100
Stem = Literal["weights", "coarse"]  # of the files of weights


def weight_files(folder: Path, stem: Stem = "weights") -> list[Path]:
    """Files of weights in a segmenter's folder, in numerical order: 2 before 10."""
    files = folder.glob(f"{stem}-*.safetensors")
    return sorted(files, key=lambda file: (len(file.name), file.name))


def read_networks(
    folder: Path, spec: SegmenterSpec, stem: Stem = "weights"
) -> tuple[Network, ...]:
    """Read the networks from the files of weights; nothing is unpickled.

    Args:
        folder: Folder of the segmenter.
        spec: Its spec, or that of its coarse networks.
        stem: What the names of the files begin with.

    Raises:
        DataError: If weights are missing, do not fit the spec, or are not finite.
    """
    files = weight_files(folder, stem)
    if not files:
        raise DataError(
            f"{folder}: expected {stem}-0.safetensors, found none; "
            "is it the complete folder of a segmenter?"
        )
    networks = []
    for file in files:
        network = build_network(spec.network)
        _check_header(file, tensors=len(network.state_dict()))
        try:
            network.load_state_dict(load_file(file))
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"{file}: expected the weights of {spec.network.name}, found "
                f"{str(error).splitlines()[0]}; were folders mixed up?"
            ) from error
        for name, value in network.state_dict().items():
            if not torch.isfinite(value).all():
                raise DataError(
                    f"{file}: expected finite weights, found others in {name}; copy "
                    "the file again from where the segmenter was trained"
                )
        networks.append(network.eval())
    if len(networks) != len(spec.temperatures):
        raise DataError(
            f"{folder}: expected {len(spec.temperatures)} files of weights, as the "
            f"spec says, found {len(networks)}; copy the whole folder"
        )
    return tuple(networks)


def _check_header(file: Path, *, tensors: int) -> None:
    """Check that the header of weights is no larger than the network's tensors need."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
    largest = HEADER_BYTES * (tensors + 1)
    if size > largest:
        raise DataError(
            f"{file}: expected a header of at most {largest} bytes for {tensors} "
            f"tensors, found {size}; fetch the weights again from their source"
        )


def write_networks(
    folder: Path, networks: Sequence[Network], stem: Stem = "weights"
) -> None:
    """Write one file of weights per network; equal weights give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, network in enumerate(networks):
        state = {
            name: value.detach().cpu().contiguous()
            for name, value in network.state_dict().items()
        }
        (folder / f"{stem}-{number}.safetensors").write_bytes(save(state))


def segmenter_digest(folder: Path) -> str:
    """Identity of a segmenter: SHA-256 over its spec and weights."""
    files = [spec_file(folder), *weight_files(folder)]
    files += weight_files(folder, "coarse")
    return digest_json({file.name: digest_file(file) for file in files})


def ensemble_digest(folds: Sequence[str]) -> str:
    """Identity of a segmenter, from the digests of its folds in their order.

    Manifests, provenance and the tags of registered versions carry it: the digest of a
    single fold itself, else a digest of the list.
    """
    return folds[0] if len(folds) == 1 else predictions_digest(folds)


def predictions_digest(folds: Sequence[str]) -> str:
    """Identity of a segmenter as predictions.json has it: always a digest of the list.

    It differs from ensemble_digest for a single fold only, and stays, because
    predictions that were written before must still be known.
    """
    return digest_json(list(folds))


def find_folds(folder: Path) -> list[Path]:
    """The segmenter folder itself, or those that it contains, by number of the fold.

    Raises:
        DataError: If there is none.
    """
    found = list_folds(folder)
    if not found:
        raise DataError(
            f"{folder}: expected a segmenter ({SPEC} and weights), or a folder of "
            "folds such as artifacts/train/MODEL, found none; train one with `dvc "
            f"repro`, or name a registered one: {SCHEME}NAME@ALIAS"
        )
    return found


def list_folds(folder: Path) -> list[Path]:
    """The segmenter folders as in ``find_folds``; none if there is none."""
    if spec_file(folder).is_file():
        return [folder]
    return sorted(
        (spec.parent for spec in folder.glob(f"**/{SPEC}")),
        key=lambda path: [
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in path.relative_to(folder).parts
        ],
    )
