"""An MLflow store with runs and registered versions, as tests need it."""

from pathlib import Path
from typing import Any

from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model import serving
from segpipe.registry.mlflow_model.pack import Packed, log_model
from segpipe.registry.mlflow_model.provenance import FILE, Provenance, patient_digest
from segpipe.registry.promotion import promote
from segpipe.registry.register import describe
from segpipe.registry.store import SEAL, connect
from segpipe.registry.versions import Version, create_version, list_versions
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import ensemble_digest, segmenter_digest
from segpipe.training.record import TrainingRecord
from tests.support.segmenters import make_plan, save_segmenter

ROWS = [
    {"epoch": 1.0, "training_loss": 0.9},
    {
        "epoch": 2.0,
        "training_loss": 0.5,
        "validation_dice": 0.7,
        "validation_dice/left (L)": 0.6,
    },
]


def made_from(fold: int = 0, key: str = "k") -> TrainingRecord:
    """The record of a training."""
    return TrainingRecord(
        format_version=1,
        fingerprint=f"{key}{fold}",
        parent=f"parent-{key}",
        fold=fold,
        model="vnet",
        params={"network": "vnet", "optimizer": {"learning_rate": 0.01}},
        compute={"device": "cpu"},
        inputs={"plan": "abc"},
        versions={},
    )


def write_store(paths: Paths) -> None:
    """Register a segmenter of two folds as version 1 of liver, the champion."""
    for fold in (0, 1):
        save_segmenter(paths.root / "m" / str(fold), make_plan(), seed=fold)
    add_version(paths)
    connect(paths)[0].set_registered_model_alias("liver", "champion", "1")


def add_two(paths: Paths) -> None:
    """Version 2 is then the champion, 1 the previous one, 3 the candidate."""
    for digest in ("two", "three"):
        add_version(paths, digest)
    promote("liver", "2", "better", paths)


def add_version(paths: Paths, digest: str | None = None) -> str:
    """Log the folder m and register it, perhaps as another segmenter; the number."""
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "segmenter", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(paths.root / "m"))
    true = ensemble_digest([segmenter_digest(paths.root / "m" / n) for n in "01"])
    tags = {"review.status": "pending", "segpipe.segmenter": digest or true}
    return create_version("liver", model.model_id, run, tags, paths).version


def add_sealed(paths: Paths) -> Version:
    """Register the folder m with the provenance and the tags that register writes."""
    digests = [segmenter_digest(paths.root / "m" / number) for number in "01"]
    made = Provenance(
        format_version=1,
        model="m",
        digest=ensemble_digest(digests),
        patients=(patient_digest("smith"),),
        data="abc",
        lock=None,
        commit=None,
        dirty=False,
        metrics={"test/dice": 0.75},
    )
    made.write(paths.root / "m" / FILE)
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "segmenter", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(paths.root / "m"))
    tags = {**describe(made), SEAL: digest_file(paths.root / "m" / FILE)}
    return create_version("sealed", model.model_id, run, tags, paths)


def aliases(paths: Paths) -> dict[str, str]:
    versions = list_versions("liver", paths)
    return {alias: one.version for one in versions for alias in one.aliases}


def add_packed(
    paths: Paths, seed: int, *, name: str = "liver", **provenance: Any
) -> Version:
    """Register a segmenter of one fold that MLflow loads, with tags and seal."""
    folder = paths.root / "packed" / str(seed) / "segmenter"
    digest = segmenter_digest(
        Path(save_segmenter(folder / "0", make_plan(), seed=seed))
    )
    made = Provenance(
        format_version=1,
        model="m",
        digest=ensemble_digest([digest]),
        patients=(),
        data="abc",
        lock=None,
        commit=None,
        dirty=False,
        metrics={"test/dice": 0.75},
        **provenance,
    )
    made.write(folder / FILE)
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    packed = Packed(
        folder=folder,
        code=Path(serving.__file__),
        signature=serving.build_signature(Segmenter.load(folder / "0").spec),
        requirements=(),
        about={},
    )
    model = log_model(packed, run, paths)
    tags = {**describe(made), SEAL: digest_file(folder / FILE)}
    return create_version(name, model, run, tags, paths)
