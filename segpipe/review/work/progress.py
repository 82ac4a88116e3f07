"""Progress: what is signed of a review, and who has what is left; no rating."""

from segpipe.review.accounts.assignments import Task, list_all
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import User
from segpipe.review.accounts.users import person_of
from segpipe.review.work.adjudication import PURPOSE, waiting
from segpipe.review.work.readings import Readings
from segpipe.review.work.sections import Row, Section, number_of
from segpipe.review.work.summary import Missing

SHOWN = 12  # numbers of cases in a cell


def describe_progress(
    readings: Readings, missing: Missing, database: Database
) -> Section:
    """Say what is left, and who has it.

    A case has the number of its place in the person's own queue, which nobody else
    knows it by.
    """
    tasks = list_all(database, readings.volume.digest)
    own: dict[str, list[Task]] = {}
    for user, task in tasks:
        own.setdefault(_name(user, readings), []).append(task)
    return Section(
        "Progress",
        _sentences(readings, missing, tasks),
        [_row(name, parts) for name, parts in own.items()],
    )


def _sentences(
    readings: Readings, missing: Missing, tasks: list[tuple[User, Task]]
) -> list[str]:
    if missing.nothing:
        return ["All is signed."]
    sentences = [
        f"{number_of(missing.readings, 'signature')} of readers and "
        f"{missing.adjudications} of adjudicators are missing.",
        "What the readings say is shown when all is signed.",
    ]
    if not tasks:
        sentences.append(
            f"Nobody has a case: `segpipe review assign "
            f".reviews/{readings.volume.folder.name}` gives them to the readers."
        )
    left = [user for user, task in tasks if not task.is_signed]
    if any(person_of(user, readings.chain.roster) is None for user in left):
        sentences.append(
            "What is left of people who have gone goes to others with `segpipe review "
            "assign`."
        )
    if lost := len(waiting(readings, tasks)):
        sentences.append(
            f"{number_of(lost, 'case')} on which readers disagree "
            f"{'waits' if lost == 1 else 'wait'} for somebody "
            "with the role adjudicator who neither read them nor trained the version: "
            "add such a person with `segpipe review users add`, and repeat `segpipe "
            "review assign`."
        )
    return sentences


def _name(user: User, readings: Readings) -> str:
    person = readings.chain.roster.keys.get(user.key)
    if person is None:
        return user.name
    left = "" if person.revoked is None else " (has gone)"
    return f"{person.printed_name}{left}"


def _row(name: str, tasks: list[Task]) -> Row:
    left = [task for task in tasks if not task.is_signed]
    numbers = [str(task.assignment.place + 1) for task in left]
    more = len(numbers) - SHOWN
    adjudicates = sum(task.assignment.purpose == PURPOSE for task in tasks)
    return {
        "person": name,
        "to read": str(len(tasks) - adjudicates),
        "to adjudicate": str(adjudicates),
        "signed": str(len(tasks) - len(left)),
        "read, not signed": str(sum(task.reading is not None for task in left)),
        "left, by number in the queue": ", ".join(numbers[:SHOWN])
        + (f" and {more} more" if more > 0 else ""),
    }
