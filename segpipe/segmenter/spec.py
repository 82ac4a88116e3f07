"""The folder of a segmenter: spec, weights, and the digests that identify it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from safetensors.torch import load_file, save

from segpipe.images.borders import Separation
from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import Network
from segpipe.project.documents import Document, is_empty
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.rules.instances import (
    InstanceRule,
    Target,
    combine_instance_rules,
)
from segpipe.segmenter.rules.outputs import Outputs
from segpipe.segmenter.rules.postprocessing import StructureRule, combine_rules

SCHEME = "models:/"  # begins the address of a registered segmenter, instead of a folder
HEADER_BYTES = 1024  # of a header of weights for one tensor; it needs about 100
Stem = Literal["weights", "coarse"]  # of the files of weights
SPEC = "spec.json"


class CoarseSpec(Document):
    """How a segmenter first finds where structures are, at a coarse resolution.

    Attributes:
        network: The coarse network, which tells structures from background.
        factor: Prepared voxels of a coarse voxel along i, j, k.
        patch_size: Input voxels of a training patch.
        thresholds: For each network, the probability of a structure above which the
            place is looked at; all look where one of them says.
        reach: Coarse voxels on each side of such a place that are looked at, too.
        missed: The largest share of a component of a structure in a validation case
            that lies where the segmenter does not look; None if none was there.
        looked_at: Share of the validation cases where it looks; None without any.
    """

    network: NetworkSpec
    factor: tuple[PositiveInt, PositiveInt, PositiveInt]
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    thresholds: tuple[float, ...]
    reach: int
    missed: float | None
    looked_at: float | None


def spec_file(folder: Path) -> Path:
    """The file of the spec in the folder of a segmenter."""
    return folder / SPEC


class SegmenterSpec(Document):
    """All that is needed to use a segmenter, besides the weights.

    Attributes:
        format_version: Format of this document.
        model: Name of the model in params.yaml.
        network: The network, the same for all folds.
        plan: Plan of the training data: preprocessing, structures and profile.
        patch_size: Input voxels of a training patch.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        temperatures: Divisor of the logits of each network; 1 unless calibrated.
        postprocessing: Rule of each structure, without background; or none at all.
        separation: The lines between touching instances that were trained, if any.
        target: What was learned: the ``labels``, with lines as background; or their
            ``contact`` as a class of its own; or the levels of ``distance``.
        instances: Rule of each structure, without background, by which its instances
            are told apart; none for connected components.
        coarse: How it first finds where structures are; None if it looks everywhere.
    """

    format_version: Literal[1]
    model: str
    network: NetworkSpec
    plan: Plan
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    slice_axis: int | None
    temperatures: tuple[PositiveFloat, ...]
    postprocessing: tuple[StructureRule, ...] = ()  # older segmenters have none
    separation: Separation | None = None  # older segmenters do not say it
    target: Target = Field("labels", exclude_if=lambda target: target == "labels")
    instances: tuple[InstanceRule, ...] = Field((), exclude_if=is_empty)
    coarse: CoarseSpec | None = Field(None, exclude_if=is_empty)

    @property
    def outputs(self) -> Outputs:
        """What the channels of the networks mean."""
        return Outputs(self.plan.legend, self.target)

    @property
    def lines(self) -> Separation | None:
        """The lines of background over which instances grow back, if any."""
        return self.separation if self.target == "labels" else None

    @property
    def rules(self) -> dict[int, StructureRule]:
        """The rules that do something, by the structures' values in the data set.

        They are by the numbers of the structures where these overlap.
        """
        values = self.plan.values[1:]
        if self.outputs.overlap:
            values = tuple(range(1, len(self.plan.structures)))
        pairs = zip(values, self.postprocessing, strict=False)
        return {v: rule for v, rule in pairs if rule.drops or rule.fill_holes}


def coarse_plan(plan: Plan, factor: Triple) -> Plan:
    """The plan of a coarse network: the same images, and one structure of all."""
    i, j, k = (step * n for step, n in zip(plan.spacing, factor, strict=True))
    return plan.model_copy(
        update={
            "spacing": (i, j, k),
            "structures": ("background", "structure"),
            "values": (0, 1),
            "ignore": None,
            "unions": None,
            "emptiness": None,
        }
    )


def coarse_spec(spec: SegmenterSpec, coarse: CoarseSpec) -> SegmenterSpec:
    """The coarse networks of a segmenter as a segmenter of their own."""
    return SegmenterSpec(
        format_version=1,
        model=spec.model,
        network=coarse.network,
        plan=coarse_plan(spec.plan, coarse.factor),
        patch_size=coarse.patch_size,
        slice_axis=None,
        temperatures=(1.0,) * len(spec.temperatures),
    )


def combine_specs(
    folders: Sequence[Path], specs: Sequence[SegmenterSpec]
) -> SegmenterSpec:
    """Combine the specs of several folds; only rules that all folds chose are kept.

    Args:
        folders: Folder of each segmenter, for the error.
        specs: Spec of each segmenter.

    Raises:
        DataError: If they differ in plan or network.
    """
    shared = {
        "temperatures": tuple(t for spec in specs for t in spec.temperatures),
        "postprocessing": combine_rules([spec.postprocessing for spec in specs]),
        "instances": combine_instance_rules([spec.instances for spec in specs]),
    }
    combined = [
        spec.model_copy(update={**shared, "coarse": coarse})
        for spec, coarse in zip(specs, _combine_coarse(specs), strict=True)
    ]
    for folder, spec in zip(folders, combined, strict=True):
        if spec != combined[0]:
            raise DataError(
                f"{folder}: expected the plan and network of {folders[0]}, found "
                "others; run `dvc repro` so that all folds share them"
            )
    return combined[0]


def _combine_coarse(specs: Sequence[SegmenterSpec]) -> list[CoarseSpec | None]:
    """The coarse part of each fold, with the thresholds of all of them.

    The largest shares of what they miss and where they look stand for all.
    """
    known = [spec.coarse for spec in specs if spec.coarse is not None]
    shared = {
        "thresholds": tuple(t for one in known for t in one.thresholds),
        "missed": _largest([one.missed for one in known]),
        "looked_at": _largest([one.looked_at for one in known]),
    }
    return [spec.coarse and spec.coarse.model_copy(update=shared) for spec in specs]


def _largest(shares: Sequence[float | None]) -> float | None:
    """The largest known share."""
    return max((share for share in shares if share is not None), default=None)


def read_combined_spec(folders: Sequence[Path]) -> SegmenterSpec:
    """Read the specs of several folds as one, without their weights."""
    read = [SegmenterSpec.read(spec_file(folder)) for folder in folders]
    return combine_specs(folders, read)


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
