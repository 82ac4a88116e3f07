"""Champions: which version was the champion when, by the signed records."""

from dataclasses import dataclass
from datetime import datetime

from segpipe.approval.chain.verification import Verified
from segpipe.approval.policy import judge
from segpipe.approval.protocol import Protocol
from segpipe.approval.records import Decision, Emergency, Promotion, Subject


@dataclass(frozen=True)
class Reign:
    """A version that became the champion.

    Attributes:
        subject: The version.
        since: When.
        by: Printed name and role of who signed it.
        why: The reason.
        record: The number of the record.
        act: promote, rollback, emergency, or approve if the decision promoted it.
    """

    subject: Subject
    since: datetime
    by: str
    why: str
    record: int
    act: str


def champions(chain: Verified, name: str, protocol: Protocol) -> list[Reign]:
    """Who was the champion of a name by the records, the first one first.

    A decision that was signed with ``promote`` counts if its approval was complete
    then.
    """
    found = []
    for place, record in enumerate(chain.records):
        content = record.content
        if isinstance(content, Promotion):
            act: str = content.act
        elif isinstance(content, Emergency):
            act = "emergency"
        elif isinstance(content, Decision) and content.promote:
            until_then = _cut(chain, place + 1)
            digest = content.subject.segmenter
            if not judge(digest, until_then, protocol, record.time).approved:
                continue
            act = content.decision
        else:
            continue
        if content.subject.name == name:
            by = f"{record.printed_name} as {record.role}"
            reign = Reign(
                content.subject, record.time, by, content.reason, record.number, act
            )
            found.append(reign)
    return found


def _cut(chain: Verified, length: int) -> Verified:
    """A whole chain as it was when it had so many records."""
    return Verified(chain.root, chain.records[:length], chain.roster, (), chain.head)
