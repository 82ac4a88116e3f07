"""Readings: the signed readings of a dossier that count, from the chain alone.

A reading counts if it is of the very files of the dossier, is the first of its person
on its item, and neither the reader nor the adjudicator trained the version.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from segpipe.approval.chain.verification import Verified
from segpipe.approval.protocol import Protocol
from segpipe.approval.records import Adjudication, Reading, Record
from segpipe.approval.use import fault_of_trainer
from segpipe.review.dossier import Item, Key, Source, mask_name
from segpipe.review.shelf import Volume

What = tuple[Source, str]  # what stood behind the letter, and the structure


@dataclass(frozen=True)
class Signed:
    """What a person signed about one item.

    Attributes:
        record: Number of the record.
        reader: Name of the person's key.
        printed_name: The person's name for people.
        scores: Scores by mask and structure; None: it cannot be judged.
        seconds: Time at work, without idle time.
    """

    record: int
    reader: str
    printed_name: str
    scores: Mapping[What, int | None]
    seconds: float


@dataclass(frozen=True)
class Said:
    """All that counts about one item.

    Attributes:
        readings: The readings, in the order in which they were signed.
        adjudication: What counts in their place, where they disagreed.
    """

    readings: Sequence[Signed] = ()
    adjudication: Signed | None = None

    @property
    def readers(self) -> set[str]:
        """Names of those who read it."""
        return {one.reader for one in self.readings}

    @property
    def counted(self) -> Sequence[Signed]:
        """The adjudication, or else the readings."""
        return (self.adjudication,) if self.adjudication else self.readings

    def disagree(self, adjudicate_from: int) -> bool:
        """Whether two readings of a mask and structure are too far apart.

        They are, too, if only one of them says that it cannot be judged.
        """
        whats = {what for one in self.readings for what in one.scores}
        for what in whats:
            scores = [one.scores[what] for one in self.readings if what in one.scores]
            known = [score for score in scores if score is not None]
            if known and len(known) < len(scores):
                return True
            if known and max(known) - min(known) >= adjudicate_from:
                return True
        return False


@dataclass(frozen=True)
class Readings:
    """What was signed about a dossier.

    Attributes:
        volume: The dossier.
        key: What its items are in truth.
        chain: The records.
        protocol: review.yaml.
        items: Item to what counts about it; all items of the dossier.
        faults: Records that do not count, with the reason.
    """

    volume: Volume
    key: Key
    chain: Verified
    protocol: Protocol
    items: Mapping[str, Said]
    faults: Sequence[str]

    def needs_adjudicator(self, item: str) -> bool:
        """Whether the readings of an item are complete, disagree, and none decided.

        Repeats and controls tell about the readers alone, so nobody decides on them.
        """
        said, readers = self.items[item], self.protocol.readers
        return (
            self.key.items[item].stratum in ("worst", "random")
            and said.adjudication is None
            and len(said.readings) >= readers.per_case
            and said.disagree(readers.adjudicate_from)
        )


def read_signed(
    volume: Volume, key: Key, chain: Verified, protocol: Protocol
) -> Readings:
    """Collect what counts of the readings that stand in a whole chain."""
    found: dict[str, Said] = {item: Said() for item in volume.items}
    faults: list[str] = []
    for record, content in _records_of(volume, chain):
        item = volume.items[content.case]
        fault = (
            _fault_of_files(volume, item, content)
            or _fault_of_letters(key, content)
            or _fault_of_person(record, content, chain, protocol)
            or _fault_of_order(record, content, found[item.id])
        )
        if fault:
            faults.append(f"record {record.number} by {record.printed_name} {fault}")
            continue
        said, one = found[item.id], _signed(record, content)
        found[item.id] = (
            Said(said.readings, one)
            if isinstance(content, Adjudication)
            else Said((*said.readings, one), said.adjudication)
        )
    return Readings(volume, key, chain, protocol, found, tuple(faults))


def _records_of(
    volume: Volume, chain: Verified
) -> Iterator[tuple[Record, Reading | Adjudication]]:
    for record in chain.records:
        content = record.content
        if (
            isinstance(content, Reading | Adjudication)
            and content.subject.segmenter == volume.dossier.segmenter
            and content.case in volume.items
        ):
            yield record, content


def _signed(record: Record, content: Reading | Adjudication) -> Signed:
    return Signed(
        record=record.number,
        reader=record.signer,
        printed_name=record.printed_name,
        scores={
            (content.shown[letter], structure): rating.score
            for letter, structures in content.ratings.items()
            if letter in content.shown
            for structure, rating in structures.items()
        },
        seconds=content.seconds,
    )


def _fault_of_files(
    volume: Volume, item: Item, content: Reading | Adjudication
) -> str | None:
    places, files = volume.files_of(item), volume.dossier.files
    masks = {letter: files[places[mask_name(letter)]] for letter in item.letters}
    images = {files[places[name]] for name in item.shown}
    if content.masks != masks or not {*content.images.values()} <= images:
        return f"is of other files than those of the item {item.id}: it does not count"
    return None


def _fault_of_letters(key: Key, content: Reading | Adjudication) -> str | None:
    if content.shown != key.items[content.case].letters:
        return "says of its letters what they did not stand for: it does not count"
    return None


def _fault_of_person(
    record: Record,
    content: Reading | Adjudication,
    chain: Verified,
    protocol: Protocol,
) -> str | None:
    person = chain.roster.keys[record.key]  # revoked or not: what was signed stands
    if fault_of_trainer(person, content.subject, protocol):
        return "is a trainer's of the version: it does not count"
    return None


def _fault_of_order(
    record: Record, content: Reading | Adjudication, before: Said
) -> str | None:
    """Why a record comes too late: only the first of each person counts."""
    if isinstance(content, Adjudication):
        if record.signer in before.readers:
            return "adjudicates what the same person read: it does not count"
        if before.adjudication is not None:
            return "adjudicates what was adjudicated before: it does not count"
    elif record.signer in before.readers:
        return "reads an item a second time: only the first reading counts"
    elif before.adjudication is not None:
        return "reads an item that was adjudicated before: it does not count"
    return None
