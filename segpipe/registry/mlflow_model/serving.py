"""Serving: the code of a registered segmenter, which MLflow loads and runs.

MLflow copies this file into the model (models from code) and executes it when the model
is loaded, so nothing is pickled. The file imports segpipe, which must be installed.
"""

import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from jaxtyping import Float64
from mlflow.models import ModelSignature, set_model
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from segpipe.approval.use import is_required, is_trial
from segpipe.images.formats.colours import are_colours, match_colours
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.approved import require_loaded
from segpipe.registry.mlflow_model.provenance import FILE, Provenance
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.preprocessing.classes import label_dtype
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.segmenter.settings import SegmentSettings
from segpipe.segmenter.spec import SegmenterSpec, ensemble_digest, segmenter_digest

SEGMENTER = "segmenter"  # the folder among the model's artifacts


def default_inference() -> Inference:
    """How a registered segmenter runs: as `segpipe segment` does without options."""
    settings = SegmentSettings(threads=len(os.sched_getaffinity(0)))
    return build_inference(settings)


def build_signature(spec: SegmenterSpec) -> ModelSignature:
    """Inputs, outputs and parameters of a registered segmenter.

    Input: one image (1, channel, i, j, k) of float32, raw intensities on its own grid;
    a segmenter of single images also takes grey for colours, and the reverse.
    Output: a label map (1, i, j, k) in the data set's values. Parameter: ``affine``, 16
    numbers.
    """
    channels = -1 if takes_other_colours(spec) else len(spec.plan.channels)
    image = TensorSpec(np.dtype("float32"), (1, channels, -1, -1, -1))
    labels = TensorSpec(label_dtype(spec.plan), (1, -1, -1, -1))
    affine = ParamSpec("affine", "double", [], (-1,))
    return ModelSignature(Schema([image]), Schema([labels]), ParamSchema([affine]))


def takes_other_colours(spec: SegmenterSpec) -> bool:
    """Whether grey may stand for the channels, or three colours."""
    single = len(spec.plan.channels) == 1 or are_colours(spec.plan.channels)
    return spec.plan.dimensions == 2 and single


def numbered_folders(folder: Path) -> list[Path]:
    """The folders of the folds, by number."""
    found = [path for path in folder.iterdir() if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


class RegisteredSegmenter(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A segmenter of one or more folds behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the folds onto this machine's device.

        Args:
            context: Paths of the model's files; MLflow passes it by name.

        Raises:
            DataError: If the files are not those that were registered, or they may
                not be used now by the signed records in ./reviews, or in the folder
                that SEGPIPE_REVIEWS names.
        """
        folder = Path(context.artifacts[SEGMENTER])
        folders = numbered_folders(folder)
        digest = ensemble_digest([segmenter_digest(one) for one in folders])
        made = Provenance.read(folder / FILE)
        expected = made.digest
        if digest != expected:
            raise DataError(
                f"{folder}: expected the segmenter {expected[:12]} that {FILE} names, "
                f"found {digest[:12]}; fetch or register it again"
            )
        needed = is_required(Path(), sealed=made.approval is not None)
        if needed and not is_trial():
            require_loaded(folder, made)
        self._segmenter = Segmenter.ensemble(folders)
        self._inference = default_inference()

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Segment one image.

        Args:
            context: Not used.
            model_input: Array (1, channel, i, j, k), as the signature requires.
            params: ``affine``: 16 numbers, row by row, from voxel indices to world
                coordinates (RAS+, in the unit of the data set, usually mm).

        Returns:
            The label map (1, i, j, k), in the data set's values.

        Raises:
            DataError: If the affine is missing or wrong, or intensities are not finite.
        """
        array = model_input[0]
        affine = _affine((params or {}).get("affine"))
        if not np.isfinite(array).all():
            raise DataError(
                "image: expected finite intensities, found NaN or infinite ones; "
                "replace them first"
            )
        spec = self._segmenter.spec
        if takes_other_colours(spec):
            array, _ = match_colours(array, spec.plan.channels)
        _, i, j, k = array.shape
        grid = Grid((i, j, k), affine, spec.plan.unit)
        label = self._segmenter.segment(Image(array, grid), self._inference)
        return label.array[np.newaxis]


def _affine(values: Any) -> Float64[np.ndarray, "4 4"]:
    """Check the affine, which is never guessed: it holds spacing and patient sides."""
    flat = np.array([] if values is None else values, dtype=np.float64).ravel()
    affine = flat.reshape(4, 4) if flat.size == 16 else np.zeros((4, 4))
    whole = np.isfinite(affine).all() and (affine[3] == (0, 0, 0, 1)).all()
    if not whole or not abs(np.linalg.det(affine)) > 0:
        raise DataError(
            "affine: expected 16 numbers, row by row, that take voxel indices to "
            f"RAS+ coordinates, the last row 0 0 0 1; found {flat.tolist() or 'none'}; "
            "with nibabel: params={'affine': image.affine.ravel().tolist()}"
        )
    return affine


set_model(RegisteredSegmenter())
