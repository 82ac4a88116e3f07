"""Protocol: review.yaml, how a version is reviewed and what it takes to use it."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from segpipe.approval.records import Role
from segpipe.project.documents import parse_yaml, write_text
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.params import Params, parse_section

FORMAT_VERSION = 1
ELSEWHERE = "SEGPIPE_REVIEWS"  # names the folder reviews/ of another project
Fraction = Annotated[float, Field(ge=0, le=1)]


def _check_webhook(address: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]\S*", address):
        raise ValueError("expected https://HOST/PATH, or http; null for none")
    return address


Webhook = Annotated[str, AfterValidator(_check_webhook)]


class CasesParams(Params):
    """Which cases readers see, always some of both strata."""

    worst: PositiveInt
    random: PositiveInt
    strata: tuple[str, ...]
    repeats_fraction: Fraction
    controls: NonNegativeInt


class ReadersParams(Params):
    """Who reads what."""

    per_case: PositiveInt
    adjudicate_from: Annotated[int, Field(ge=1, le=3)]


class RatingParams(Params):
    """What a score means for the decision."""

    acceptable_from: Annotated[int, Field(ge=1, le=4)]


class BlindingParams(Params):
    """What stands behind the letters A, B, C."""

    champion: bool
    reference: bool


class PolicyParams(Params):
    """What it takes before a version is promoted and used."""

    require: bool
    approvals: Annotated[dict[Role, PositiveInt], Field(min_length=1)]
    reviewer_is_not_trainer: bool
    unknown_trainer_is_refused: bool
    cases: NonNegativeInt
    expires_days: PositiveInt | None
    gates: dict[str, float]
    emergency_hours: PositiveInt


def _check_address(address: str) -> str:
    """Refuse what is no address of a page, and any field but the opaque id."""
    if not re.match(r"(https?|slicer)://[^\s/]", address):
        raise ValueError("expected an address with http://, https:// or slicer://")
    if set(re.findall(r"\{[^{}]*\}", address)) - {"{case}"}:
        raise ValueError("expected {case} as the only field of the address")
    return address


Address = Annotated[str, AfterValidator(_check_address)]


class LinksParams(Params):
    """Addresses that a case page links to; {case} stands for its opaque id."""

    slicer: Address | None
    ohif: Address | None


class Protocol(Params):
    """review.yaml, in the root of a project."""

    format_version: int
    cases: CasesParams
    readers: ReadersParams
    rating: RatingParams
    blinding: BlindingParams
    policy: PolicyParams
    links: LinksParams
    webhook: Webhook | None
    previous: str | None = None  # files of before have no such line

    @property
    def digest(self) -> str:
        """SHA-256 of all but links, webhook and previous; comments do not count.

        Every decision says the protocol that it was made under.
        """
        free = {"links", "webhook", "previous"}  # a dossier has the images' digests
        values = self.model_dump(mode="json", exclude=free)
        return digest_json(values)


def protocol_file(root: Path) -> Path:
    """The file with the protocol of a project."""
    return root / "review.yaml"


def reviews_root(root: Path) -> Path:
    """The project whose records count: this one, or that of SEGPIPE_REVIEWS.

    Raises:
        DataError: If SEGPIPE_REVIEWS names something else than a folder reviews/.
    """
    named = os.environ.get(ELSEWHERE)
    if not named:
        return root
    folder = Path(named)
    if folder.name != "reviews" or not folder.is_dir():
        raise DataError(
            f"{ELSEWHERE}={named}: expected the folder reviews of a project, with its "
            "review.yaml beside it, found none; correct the path"
        )
    return folder.parent


def read_protocol(root: Path) -> Protocol | None:
    """Read review.yaml; none if the project has none.

    Raises:
        DataError: If a value is missing or wrong.
    """
    path = protocol_file(root)
    if not path.is_file():
        return None
    document = parse_yaml(path, path.read_bytes())
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: expected format_version: {FORMAT_VERSION}, found {version}; "
            "`segpipe review init` writes a complete file into a project without one"
        )
    return parse_section(Protocol, document, where=str(path))


def write_protocol(root: Path) -> Path:
    """Write review.yaml with its defaults and an explanation of every value.

    Raises:
        DataError: If there is one already.
    """
    path = protocol_file(root)
    if path.exists():
        raise DataError(
            f"{path}: expected no file yet, found one; edit it, or move it away"
        )
    write_text(path, TEMPLATE)
    return path


TEMPLATE = """\
# How a version is reviewed, and what it takes before it is promoted and used. Keep it
# in git. Every value is needed; docs/concepts/approval.md explains them at length.
format_version: 1

cases:
  # Cases with the lowest Dice, or the lowest confidence where there is no reference.
  # They find faults; no rate is estimated from them.
  worst: 10
  # Cases drawn at random. If none of n is unacceptable, the rate of unacceptable cases
  # lies below 1 - .05^(1/n) with 95 % confidence: 30 cases 9.5 %, 60 cases 4.9 %.
  random: 30
  # Columns of patients.csv, such as [site, scanner], by which random cases are spread.
  strata: []
  # Share of the cases that the same reader sees again, to tell how steady readings are.
  repeats_fraction: 0.1
  # Masks that are known to be bad (mirrored, shifted, emptied); a reader refuses them.
  controls: 2

readers:
  # Readers of each case, who do not see each other's ratings.
  per_case: 2
  # Difference of two scores from which an adjudicator, who is neither, decides.
  adjudicate_from: 2

rating:
  # 1 unacceptable, 2 major correction, 3 minor correction, 4 as it is: the lowest score
  # that counts as acceptable.
  acceptable_from: 3

blinding:
  # Show the champion, and the reference where there is one, beside the candidate, as A,
  # B and C in an order that is drawn for each case.
  champion: true
  reference: true

policy:
  # false: reviews are recorded and nothing is refused. true: promote, rollback,
  # segment, export, the flow segment and MLflow refuse a version without approvals.
  require: false
  # Approvals that are needed, by the role in which they are signed: reader,
  # adjudicator, lead. Each is another person.
  approvals: {lead: 1}
  # Refuse the decision and the readings of a person who trained the version.
  reviewer_is_not_trainer: true
  # Refuse a version of which nobody knows who trained it; false: say so instead.
  unknown_trainer_is_refused: true
  # Cases that an approval rests on, each read by per_case readers; 0: none is needed.
  cases: 0
  # Days until an approval ends; null: it does not.
  expires_days: 365
  # Least figures of the test set, such as {test/dice: 0.8}; they stand in the version's
  # sealed provenance.json.
  gates: {}
  # Hours for which an emergency promotion counts as an approval.
  emergency_hours: 72

links:
  # Address that opens a case in 3D Slicer or OHIF, with http://, https:// or slicer://;
  # {case} stands for its opaque id, and nothing else of the case is put into it.
  slicer: null
  ohif: null

# Address of http or https that is sent a JSON message when a review waits for readers:
# event, project, name, version, items, link, text, and no case; null: none.
webhook: null

# Folder with the image of a previous study of some cases, shown beside the image: a
# file with the name of the case, such as previous/case_17.nii.gz; null: none.
previous: null
"""
