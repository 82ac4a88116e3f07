"""users: list the people who may sign."""

from pathlib import Path

from segpipe.approval.chain.verification import verify
from segpipe.approval.people import Person
from segpipe.project.errors import DataError
from segpipe.project.tables import column_lines

ABSENT = "-"
SHOWN = 12  # characters of a fingerprint


def users(root: Path) -> list[str]:
    """List everybody who has or had a key, as lines of a table.

    Raises:
        DataError: If the chain is broken, or nobody has a key.
    """
    roster = verify(root).require_whole().roster
    if not roster.keys:
        raise DataError(
            f"{root / 'reviews'}: expected people who may sign, found nobody; `segpipe "
            "review users add NAME --printed-name 'FULL NAME' --role admin` adds the "
            "first"
        )
    return column_lines([_row(one) for one in roster.keys.values()])


def _row(one: Person) -> dict[str, str]:
    revoked = ABSENT
    if one.until is not None:
        revoked = f"{one.until:%Y-%m-%d} in record {one.revoked}"
    return {
        "name": one.name,
        "printed name": one.printed_name,
        "roles": ", ".join(one.roles),
        "key": one.fingerprint[:SHOWN],
        "since (UTC)": f"{one.since:%Y-%m-%d} in record {one.enrolled}",
        "revoked (UTC)": revoked,
        "known as": ", ".join(one.known_as) or ABSENT,
    }
