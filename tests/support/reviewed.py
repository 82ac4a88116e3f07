"""A project with registered versions, ready for a review."""

import shutil
from pathlib import Path
from typing import Any

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import read_split
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.provenance import FILE, Provenance, patient_digest
from segpipe.registry.register import describe
from segpipe.registry.store import SEAL, connect
from segpipe.registry.versions import create_version
from segpipe.segmenter.spec import segmenter_digest


def register_fold(
    paths: Paths,
    fold: Path,
    *,
    name: str = "balls",
    alias: str,
    more: tuple[str, ...] = (),
    **provenance: Any,
) -> str:
    """Register a segmenter that knows all but the test patients, and ``more``.

    Returns:
        The number of the version.
    """
    folder = paths.root / "registered"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fold, folder / "0")
    cases, test = read_cases(paths.artifacts), set(read_split(paths.artifacts).test)
    known = {case.patient for case in cases.cases if case.name not in test}
    made = Provenance(
        format_version=1,
        model="m",
        digest=segmenter_digest(folder / "0"),
        patients=tuple(sorted(map(patient_digest, {*known, *more}))),
        data="abc",
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
        **provenance,
    )
    made.write(folder / FILE)
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "segmenter", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(folder))
    tags = {**describe(made), SEAL: digest_file(folder / FILE)}
    version = create_version(name, model.model_id, run, tags, paths).version
    client.set_registered_model_alias(name, alias, version)
    return version
