"""Readings of a dossier whose items are of all kinds; its images hold a byte each."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segpipe.approval.chain.verification import Verified
from segpipe.approval.people import Person, Roster
from segpipe.approval.protocol import Protocol, read_protocol
from segpipe.approval.records import (
    Adjudication,
    Content,
    Rating,
    Reading,
    Record,
    Role,
    Subject,
    fingerprint_of,
)
from segpipe.review.accounts.database import open_database
from segpipe.review.dossier import (
    LETTERS,
    Dossier,
    Item,
    Key,
    Shown,
    Source,
    Stratum,
    Structure,
    item_folder,
    mask_name,
    read_key,
    seal,
)
from segpipe.review.shelf import Volume, open_volume
from segpipe.review.work.readings import Readings, read_signed
from tests.support.readers import ADMIN, Review
from tests.support.reviews import DIGEST, write_policy

SOURCES: tuple[Source, ...] = ("candidate", "champion", "reference")
TIME = datetime(2026, 11, 26, 12, tzinfo=UTC)
Scores = Mapping[Source, Any]  # a score, or structure to score


def shown(stratum: Stratum = "random", case: str = "case1", **more: Any) -> Shown:
    """An item; candidate, champion and reference have the letters A, B and C."""
    letters = dict(zip(LETTERS, SOURCES, strict=True))
    words = {"patient": f"patient of {case}", "figures": {}, "letters": letters} | more
    return Shown(case=case, stratum=stratum, **words)


def control(case: str = "case9") -> Shown:
    return shown("control", case, fault="mirrored", refused=("ball",))


def write_work(
    root: Path,
    items: Mapping[str, Shown],
    *,
    structures: Sequence[str] = ("ball",),
    segmenter: str = DIGEST,
    name: str = "liver",
    version: str = "3",
    trainers: Sequence[str] = ("eve",),
    patients: int = 40,
) -> Volume:
    """Seal a dossier, and write the review.yaml that it was drawn by."""
    folder = root / ".reviews" / f"{name}-{version}"
    for item, one in items.items():
        place = item_folder(folder, item)
        place.mkdir(parents=True)
        for file in ("image.nii.gz", "montage.png", *map(mask_name, one.letters)):
            (place / file).write_text(f"{item} {file}")
    if not (root / "review.yaml").is_file():
        write_policy(root)
    about = Subject(
        name=name,
        version=version,
        segmenter=segmenter,
        data=None,
        code=None,
        trainers=tuple(trainers),
    )
    dossier = Dossier(
        format_version=1,
        name=name,
        version=version,
        segmenter=segmenter,
        champion="b" * 64,
        protocol=protocol_of(root).digest,
        data=None,
        code=None,
        registered=about,
        made=TIME,
        structures=tuple(
            Structure(name=one, value=n) for n, one in enumerate(structures, 1)
        ),
        unit="mm",
        windows=(),
        items=tuple(Item(id=i, letters=tuple(one.letters)) for i, one in items.items()),
        files={},
    )
    seal(folder, dossier, Key(items=dict(items), random_patients=patients))
    return open_volume(folder)


def open_work(root: Path, items: Mapping[str, Shown], **dossier: Any) -> Review:
    """The same with its people, of whom ada is the admin."""
    volume = write_work(root, items, **dossier)
    accounts = open_database(f"sqlite:///{root}/accounts.db")
    review = Review(accounts, volume, root)
    review.add(ADMIN[0], "admin", reads=False)
    return review


def protocol_of(root: Path) -> Protocol:
    found = read_protocol(root)
    assert found is not None
    return found


def reading_of(
    volume: Volume, item: str, scores: Scores, *, adjudicates: bool = False
) -> Reading | Adjudication:
    """What a person says of an item, with the digests of its files."""
    key, files = read_key(volume.folder), volume.dossier.files
    letters, places = key.items[item].letters, volume.files_of(volume.items[item])
    ratings = {
        letter: {
            structure.name: Rating(
                score=given[structure.name] if isinstance(given, dict) else given,
                artefact=False,
                comment="",
            )
            for structure in volume.dossier.structures
        }
        for letter, source in letters.items()
        if (given := scores.get(source, 4)) or source in scores
    }
    seen: dict[str, Any] = {
        "subject": volume.dossier.subject,
        "protocol": volume.dossier.protocol,
        "case": item,
        "images": {"image": files[places["image.nii.gz"]]},
        "masks": {letter: files[places[mask_name(letter)]] for letter in letters},
        "shown": letters,
        "seconds": 30,
        "ratings": ratings,
    }
    if adjudicates:
        return Adjudication(**seen, readings=())
    return Reading(**seen, stratum=key.items[item].stratum)


def person(name: str, *roles: Role) -> Person:
    public = name.encode().hex().ljust(64, "0")
    printed = f"Dr {name.title()}"
    return Person(name, printed, roles or ("reader",), public, (), 1, TIME)


def chain_of(
    root: Path,
    said: Sequence[tuple[str, Content]],
    *,
    people: Sequence[Person] = (),
) -> Verified:
    """A chain that was verified elsewhere: nothing in it is really signed."""
    names = {name for name, _ in said} | {one.name for one in people}
    known = {one.name: one for one in (*map(person, sorted(names)), *people)}
    keys = {one.fingerprint: one for one in known.values()}
    records = tuple(
        Record(
            format_version=1,
            number=number,
            previous="0" * 64,
            time=TIME,
            signer=name,
            printed_name=known[name].printed_name,
            role="reader",
            key=fingerprint_of(known[name].public_key),
            content=content,
            signature="0" * 128,
        )
        for number, (name, content) in enumerate(said, start=1)
    )
    return Verified(root, records, Roster(keys), (), None)


def readings_of(
    volume: Volume,
    said: Sequence[tuple[str, str, Scores]],
    *,
    people: Sequence[Person] = (),
) -> Readings:
    """What counts of what people say of items; ``!name`` adjudicates."""
    root = volume.folder.parents[1]
    contents = [
        (
            name.strip("!"),
            reading_of(volume, item, scores, adjudicates=name.startswith("!")),
        )
        for name, item, scores in said
    ]
    chain = chain_of(root, contents, people=people)
    return read_signed(volume, read_key(volume.folder), chain, protocol_of(root))
