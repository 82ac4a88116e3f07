"""register: make the folds of a trained model a version in MLflow's registry."""

import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from segpipe.approval.protocol import read_protocol, reviews_root
from segpipe.approval.use import is_required
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import (
    prediction_record_file,
    predictions_folder,
    read_prediction_record,
)
from segpipe.dataset.description import read_description
from segpipe.dataset.split import read_split
from segpipe.evaluation.figures import figures_file
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import NUMERICS, digest_file
from segpipe.project.origin.commit import (
    account_names,
    data_version,
    git_tags,
    md5_file,
    require_unchanged,
)
from segpipe.project.origin.study import code_tags, read_study
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.description import describe_origin
from segpipe.registry.mlflow_model.fetch import UNSEALED, fetch
from segpipe.registry.mlflow_model.load_back import check_loads_back
from segpipe.registry.mlflow_model.pack import Packed, close_model, log_model
from segpipe.registry.mlflow_model.provenance import (
    FILE,
    Provenance,
    patient_digest,
    read_provenance,
)
from segpipe.registry.record import HEADLINES, figures, record_model
from segpipe.registry.store import DATA, SEAL, SEGMENTER, reachable
from segpipe.registry.versions import (
    PENDING,
    REVIEW,
    Version,
    complete,
    create_version,
    find_segmenter,
)
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    SCHEME,
    ensemble_digest,
    predictions_digest,
    segmenter_digest,
    spec_file,
)
from segpipe.training.record import segmenter_folder, training_folder

log = logging.getLogger(__name__)
LOCK, MODEL = "segpipe.lock", "segpipe.model"
PACKAGES = ("mlflow", "safetensors", *NUMERICS)


@dataclass(frozen=True)
class Trained:
    """The trained folds of a model.

    Attributes:
        model: Name of the model, from the list models in params.yaml.
        folders: Folders of the segmenters, by number of the fold.
        digest: Digest of the segmenter that the folds form together.
    """

    model: str
    folders: dict[int, Path]
    digest: str


def register_model(
    model: str,
    name: str | None,
    *,
    tags: dict[str, str],
    paths: Paths,
    trained_by: tuple[str, ...] = (),
) -> Version:
    """Register the listed folds of a model; a segmenter is never registered twice.

    Steps: record the runs, as `segpipe record` does; log the model to the model's run;
    load it back in another process, where it must give the same labels as the folds;
    create the version with all of its tags; point ``candidate`` to it. A process killed
    before the version leaves a logged model that no name points to; a second call
    completes the rest.

    Args:
        model: A name of the list models in params.yaml.
        name: Name of the registered model; the data set's name if None.
        tags: Further tags of the version.
        paths: The project's folders.
        trained_by: Names of the people who trained it, beside the account that
            registers; kept where there is a review.yaml.

    Returns:
        The new version, with the alias ``candidate``, or the version that this
        segmenter has already.

    Raises:
        DataError: If the model is not trained and evaluated, the logged model gives
            other labels, or MLflow cannot be reached.
    """
    name = name or default_name(paths)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise DataError(
            f"--name {name}: expected letters, digits, _, . and -, as in liver-ct"
        )
    trained = find_trained(model, paths)
    known = find_segmenter(name, trained.digest, paths)
    if known is not None:
        return complete(known, paths)
    made = build_provenance(trained, paths, trained_by=trained_by)
    folders = [one.parent for one in trained.folders.values()]
    run_id, _ = record_model(paths, model, folders)
    logged, seal = _log(trained, made, run_id, paths)
    tags = {**tags, **describe(made), REVIEW: PENDING, SEAL: seal}
    with reachable(paths) as (_, experiment):
        words = describe_origin(
            made,
            dataset=_dataset(paths),
            folds=len(folders),
            experiment=experiment,
            run=run_id,
        )
    return create_version(name, logged, run_id, tags, paths, description=words)


def default_name(paths: Paths) -> str:
    """The name of the data set as MLflow accepts it, or else that of the project.

    A study has a name of its own; a checkout goes by its folder.
    """
    study = read_study(paths.root)
    own = study.name if study is not None else paths.root.resolve().name
    for text in (_dataset(paths), own):
        safe = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-._")
        if safe:
            return safe
    return "segmenter"


def _dataset(paths: Paths) -> str:
    """Name of the data set; "" if there is none here."""
    there = (paths.data / "dataset.json").is_file()
    return read_description(paths.data).name if there else ""


def find_trained(model: str, paths: Paths) -> Trained:
    """Find the listed folds of a listed model.

    Raises:
        DataError: If the model is not listed, or one of its folds is not trained.
    """
    document = read_params(paths.params)
    if model not in document["models"]:
        raise DataError(
            f"{paths.params}, models: expected {model} among them, found "
            f"{', '.join(map(str, document['models']))}; name one of these"
        )
    folders = {
        fold: segmenter_folder(training_folder(paths.artifacts, model, fold))
        for fold in sorted(document["folds"])
    }
    for folder in folders.values():
        if not spec_file(folder).is_file():
            raise DataError(
                f"{folder}: expected a trained segmenter, found none; run `dvc repro`, "
                "or take the fold off the list folds in params.yaml"
            )
    digest = ensemble_digest([segmenter_digest(one) for one in folders.values()])
    return Trained(model, folders, digest)


def build_provenance(
    trained: Trained, paths: Paths, *, trained_by: tuple[str, ...] = ()
) -> Provenance:
    """Collect what the folds were trained from, and their figures.

    Raises:
        DataError: If the figures are missing, or belong to another segmenter.
    """
    _check_figures(trained, paths)
    cases, split = read_cases(paths.artifacts), read_split(paths.artifacts)
    test = set(split.test)
    git = git_tags(paths.root)
    lock = paths.root / "dvc.lock"
    reviewed = read_protocol(reviews_root(paths.root)) is not None
    needed = is_required(paths.root, sealed=False)
    who = {*trained_by, *account_names(paths.root)} if reviewed else set()
    return Provenance(
        format_version=1,
        model=trained.model,
        digest=trained.digest,
        patients=tuple(
            sorted(
                {patient_digest(c.patient) for c in cases.cases if c.name not in test}
            )
        ),
        data=data_version(paths.root),
        lock=md5_file(lock) if lock.is_file() else None,
        commit=git.get("git.commit"),
        dirty=git.get("git.dirty") == "true",
        metrics=figures(paths, trained.model),
        code=code_tags(),
        approval="required" if needed else None,
        trainers=tuple(sorted(who)),
    )


def _check_figures(trained: Trained, paths: Paths) -> None:
    """Refuse to register a segmenter without its own figures of the test set."""
    folder = predictions_folder(paths.artifacts, trained.model)
    scores = figures_file(paths.artifacts, trained.model)
    for file in (prediction_record_file(folder), scores):
        if not file.is_file():
            raise DataError(
                f"{file}: expected the figures of the test set, found no file; "
                "run `dvc repro`: a segmenter that was never measured is not registered"
            )
    require_unchanged(scores, paths.root)
    check_predictions(trained, paths)


def check_predictions(trained: Trained, paths: Paths) -> None:
    """Refuse predictions of the test set that another segmenter made.

    Raises:
        DataError: If they are another segmenter's, or missing.
    """
    found = read_prediction_record(paths.artifacts, trained.model)
    digests = {n: segmenter_digest(one) for n, one in trained.folders.items()}
    right = sorted(found.folds) == list(digests) and (
        found.segmenter == predictions_digest([digests[fold] for fold in found.folds])
    )
    if not right:
        folder = predictions_folder(paths.artifacts, trained.model)
        raise DataError(
            f"{prediction_record_file(folder)}: expected predictions of the current "
            f"{trained.model}, found those of another training; run `dvc repro`"
        )


def _log(trained: Trained, made: Provenance, run: str, paths: Paths) -> tuple[str, str]:
    """Pack, log and load back the segmenter.

    Returns:
        Id of the logged model; SHA-256 of its provenance.json.
    """
    # Importing serving sets MLflow's current model, so it waits until it is needed.
    from segpipe.registry.mlflow_model import serving

    segmenter = Segmenter.ensemble(list(trained.folders.values()))
    with tempfile.TemporaryDirectory() as folder:
        for number, source in trained.folders.items():
            shutil.copytree(source, Path(folder) / "segmenter" / str(number))
        made.write(Path(folder) / "segmenter" / FILE)
        seal = digest_file(Path(folder) / "segmenter" / FILE)
        packed = Packed(
            folder=Path(folder) / "segmenter",
            code=Path(serving.__file__),
            signature=serving.build_signature(segmenter.spec),
            requirements=tuple(f"{one}=={version(one)}" for one in PACKAGES),
            about={
                "segpipe": version("segpipe"),
                **made.code,
                "git.commit": made.commit or "unknown",
            },
        )
        logged = log_model(packed, run, paths)
    try:
        check_loads_back(logged, segmenter, serving.default_inference(), paths)
    except DataError:
        close_model(logged, paths, good=False)
        raise
    close_model(logged, paths, good=True)
    return logged, seal


def describe(made: Provenance) -> dict[str, str]:
    """Tags of a version that repeat its provenance; unknown values are left out."""
    known = {
        SEGMENTER: made.digest,
        DATA: made.data,
        "git.commit": made.commit,
        "git.dirty": str(made.dirty).lower() if made.commit else None,
        LOCK: made.lock,
        MODEL: made.model,
        **made.code,
        **{
            name: f"{made.metrics[name]:.6g}"
            for name in HEADLINES
            if name in made.metrics
        },
    }
    return {name: text for name, text in known.items() if text is not None}


def check_evidence(version: Version, paths: Paths) -> None:
    """Check that a version's files and tags are those that were registered.

    The tags repeat, for the table of `segpipe models`, what provenance.json says; who
    promotes a version has read the tags.

    Raises:
        DataError: If a file or such a tag was changed, or the registry cannot be
            reached.
    """
    uri = f"{SCHEME}{version.name}/{version.version}"
    if SEAL not in version.tags:
        log.warning(UNSEALED, uri)
        return
    made = read_provenance(fetch(uri, paths).folder)
    for tag, text in describe(made).items():
        found = version.tags.get(tag, "no such tag")
        if found != text:
            raise DataError(
                f"{uri}: expected the tag {tag} to be {text}, as {FILE} says, found "
                f"{found}, which somebody wrote since; set it back on MLflow's page"
            )
