"""Approved: what signed records say of a registered segmenter, at its doors.

MLflow's tags and aliases repeat the records for people and are never evidence, with one
exception: the tag review.head names a record that the chain must still hold.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from segpipe.approval.chain.anchors import Anchor, parse_anchor
from segpipe.approval.chain.signing import append
from segpipe.approval.chain.verification import verify
from segpipe.approval.policy import faults_of_gates, utc_now
from segpipe.approval.protocol import reviews_root
from segpipe.approval.records import Emergency, Promotion, Subject
from segpipe.approval.use import Court, is_required, open_court, require_approved
from segpipe.project.documents import parse_yaml
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import Registered, fetch
from segpipe.registry.mlflow_model.provenance import (
    FILE,
    Provenance,
    read_provenance,
)
from segpipe.registry.store import DATA, SEAL, all_pages, reachable
from segpipe.segmenter.spec import SCHEME, ensemble_digest

CHAMPION = "champion"
LOADED = "registered_model_meta"  # MLflow's file beside a model that it downloaded
HEAD = "review.head"  # tag of a version: the head of the chain when it was last signed
MEANING = (
    "I promote this version without the approvals that the policy asks for, and answer "
    "for its use until then"
)


@dataclass(frozen=True)
class Warrant:
    """Who signs a promotion.

    Attributes:
        signer: Name of the key.
        password: Its password, asked for this signature.
        emergency: Whether it is signed without the approvals.
    """

    signer: str
    password: str = field(repr=False)
    emergency: bool = False


@dataclass(frozen=True)
class Act:
    """How a version becomes the champion.

    Attributes:
        kind: promote or rollback.
        why: The reason.
        before: The champion until now, if there was one.
    """

    kind: Literal["promote", "rollback"]
    why: str
    before: str | None


@dataclass(frozen=True)
class Case:
    """A version before the records.

    Attributes:
        uri: Its address.
        subject: What the records say it is called.
        made: Its provenance; none in versions of before.
        anchors: What MLflow's tags say of the chain, those of all versions of the name.
    """

    uri: str
    subject: Subject
    made: Provenance | None
    anchors: tuple[Anchor, ...] = ()

    def is_required(self, paths: Paths) -> bool:
        """Whether it needs an approval, by its provenance or by this project."""
        sealed = self.made is not None and self.made.approval is not None
        return is_required(paths.root, sealed=sealed)


def fetch_approved(uri: str, paths: Paths) -> Registered:
    """Fetch a version for use on patients, as ``fetch`` does for all other purposes.

    Raises:
        DataError: If it may not be used now, with the reason; or as ``fetch`` does.
    """
    registered = fetch(uri, paths)
    case = _case(uri, registered)
    if case.is_required(paths):
        alias = uri.rpartition("@")[2] if "@" in uri else ""
        anchors = anchors_of(registered.name, paths)
        require_approved(uri, case.subject, paths.root, anchors, alias=alias)
    return registered


def require_loaded(folder: Path, made: Provenance) -> None:
    """Refuse a version that MLflow has loaded and that may not be used on patients now.

    MLflow says beside the files which version they are, but not by which alias it was
    asked for. So whoever loads the version on which the alias champion lies is refused
    if the records make another version the champion.

    Args:
        folder: The version's files, inside of the model that MLflow has loaded.
        made: Its provenance.

    Raises:
        DataError: If it is not approved, or is called the champion without a record.
    """
    found = _find_loaded(folder)
    if found is None:  # it was loaded from a folder
        subject = made.subject(made.model, "unknown")
        require_approved(str(folder), subject, Path(), (), alias="")
        return
    name, version = found.name, str(found.version)
    require_approved(
        f"{SCHEME}{name}/{version}",
        made.subject(name, version),
        Path(),
        _all_anchors(all_pages(MlflowClient().search_model_versions), name),
        alias=CHAMPION if CHAMPION in found.aliases else "",
    )


def _find_loaded(folder: Path) -> ModelVersion | None:
    """The version that MLflow has downloaded; None if it does not say or know it."""
    file = next((p / LOADED for p in folder.parents if (p / LOADED).is_file()), None)
    if file is None or not mlflow.is_tracking_uri_set():
        return None
    document = parse_yaml(file, file.read_bytes())
    try:
        return MlflowClient().get_model_version(
            str(document["model_name"]), str(document["model_version"])
        )
    except (KeyError, TypeError, MlflowException):  # a copy from another registry
        return None


def anchors_of(name: str, paths: Paths) -> tuple[Anchor, ...]:
    """The heads of the chain that tags of the versions of a name know.

    Raises:
        DataError: If such a tag holds something else, or the registry cannot be
            reached.
    """
    with reachable(paths) as (client, _):
        versions = all_pages(client.search_model_versions)
    return _all_anchors(versions, name)


def anchors_of_project(names: Set[str], paths: Paths) -> tuple[Anchor, ...]:
    """The heads that tags know of the chain of a project, which may share its MLflow.

    They are those of the names that the chain speaks of, and of all versions that were
    registered from the project's own experiment: a chain that was cut off before its
    first word on a name is found by the tags of that name, too.

    Args:
        names: Names of registered models in the chain.
        paths: The project's folders.

    Raises:
        DataError: As ``anchors_of`` does.
    """
    with reachable(paths) as (client, experiment):
        versions = all_pages(client.search_model_versions)
        signed = [one for one in versions if HEAD in one.tags]
        own = [
            one
            for one in signed
            if one.name in names or _is_of(experiment, one, client)
        ]
    return tuple(anchor for one in own for anchor in _all_anchors([one], one.name))


def _is_of(experiment: str, version: ModelVersion, client: MlflowClient) -> bool:
    """Whether a version comes from an experiment, or its run is not known any more."""
    try:
        run = client.get_run(version.run_id or "")
    except MlflowException:
        return True
    return str(run.info.experiment_id) == experiment


def find_case(name: str, version: str, paths: Paths) -> Case:
    """A version, fetched and compared with its digests, with all anchors of its name.

    Raises:
        DataError: As ``fetch`` does.
    """
    uri = f"{SCHEME}{name}/{version}"
    case = _case(uri, fetch(uri, paths))
    return replace(case, anchors=anchors_of(name, paths))


def _case(uri: str, registered: Registered) -> Case:
    known = list(registered.folder.rglob(FILE))
    made = read_provenance(registered.folder) if known else None
    name, version = registered.name, registered.version
    subject = (
        made.subject(name, version)
        if made is not None
        else Subject(
            name=name,
            version=version,
            segmenter=ensemble_digest(list(registered.folds.values())),
            data=registered.tags.get(DATA),
            code=None,
            trainers=(),
        )
    )
    return Case(uri, subject, made)


def _all_anchors(versions: Iterable[ModelVersion], name: str) -> tuple[Anchor, ...]:
    """The heads that the tags of the versions of a name know."""
    return tuple(
        anchor
        for one in versions
        if one.name == name
        for anchor in _anchors(one.name, str(one.version), dict(one.tags))
    )


def _anchors(name: str, version: str, tags: dict[str, str]) -> tuple[Anchor, ...]:
    place = f"MLflow's tag {HEAD} of {name} {version}"
    return (parse_anchor(tags[HEAD], place),) if HEAD in tags else ()


def sign_promotion(
    name: str,
    version: str,
    promotion: Act,
    warrant: Warrant | None,
    paths: Paths,
) -> str:
    """Sign that a version becomes the champion.

    If the records make it the champion already, as when an earlier call was killed, it
    must still be approved, and nothing is signed.

    Args:
        name: Name of the registered model.
        version: Number of the version.
        promotion: What is signed.
        warrant: Who signs; none if the records make it the champion already.
        paths: The project's folders.

    Returns:
        The head of the chain, for the version's tag.

    Raises:
        DataError: If the policy does not allow it, or nobody signs.
    """
    case = find_case(name, version, paths)
    court = open_court(paths.root, case.anchors, git=True)
    approval = court.judge(case.subject)
    if warrant is None or not warrant.emergency:
        if not approval.approved:
            raise DataError(
                f"{case.uri}: expected an approved segmenter, found that "
                f"{approval.why}; `segpipe review decide` signs a decision"
            )
        if not approval.emergency:
            require_gates(case, court)
    if not (approval.approved and court.is_champion(case.subject)):
        _append(case, promotion, warrant, court, paths)
    head = verify(reviews_root(paths.root)).require_whole().head
    assert head is not None, case.uri
    return head.text


def needs_signature(
    name: str, version: str, tags: dict[str, str], paths: Paths
) -> bool:
    """Whether a version needs an approval: by its provenance, or by this project.

    Raises:
        DataError: As ``fetch`` does, for a version whose provenance is sealed.
    """
    if is_required(paths.root, sealed=False):
        return True
    if SEAL not in tags:
        return False  # it is older than approvals
    uri = f"{SCHEME}{name}/{version}"
    return read_provenance(fetch(uri, paths).folder).approval is not None


def require_gates(case: Case, court: Court) -> None:
    """Refuse to promote a version whose figures lie below the policy's gates.

    Raises:
        DataError: If one does, or is not known.
    """
    metrics = case.made.metrics if case.made is not None else {}
    faults = faults_of_gates(metrics, court.protocol.policy.gates)
    if faults:
        raise DataError(
            f"{case.uri}: expected the figures that the policy asks for, found that "
            f"{'; '.join(faults)}"
        )


def _append(
    case: Case, act: Act, warrant: Warrant | None, court: Court, paths: Paths
) -> None:
    if warrant is None:
        raise DataError(
            f"{case.uri}: expected who signs its promotion, found nobody; say --as "
            "NAME: a lead or an admin, who is then asked for the password"
        )
    content: Promotion | Emergency
    if warrant.emergency:
        hours = timedelta(hours=court.protocol.policy.emergency_hours)
        content = Emergency(
            subject=case.subject,
            before=act.before,
            meaning=MEANING,
            reason=act.why,
            expires=utc_now().replace(microsecond=0) + hours,
        )
    else:
        content = Promotion(
            subject=case.subject, act=act.kind, before=act.before, reason=act.why
        )
    append(content, warrant.signer, warrant.password, reviews_root(paths.root))
