"""Each person has an own queue, in the order given."""

from pathlib import Path

from segpipe.review.accounts.assignments import (
    assign,
    find_task,
    list_all,
    list_dossiers,
    list_tasks,
    open_task,
)
from tests.support.readers import open_review


def test_queues_are_each_persons_own_and_in_order(tmp_path: Path) -> None:
    review = open_review(tmp_path)
    jane, john = review.add("jane"), review.add("john", reads=False)
    first, second, third = review.volume.items
    review.give(john, third, first)
    digest, database = review.volume.digest, review.database

    again = assign(
        database, john, dossier=digest, items=[first, second], purpose="read"
    )

    def queue(user: object) -> list[str]:
        tasks = list_tasks(database, user, digest)  # type: ignore[arg-type]
        return [task.assignment.item for task in tasks]

    assert again == 1
    assert queue(jane) == [first, second, third]
    assert queue(john) == [third, first, second]
    assert list_dossiers(database, john) == [digest]
    assert len(list_all(database, digest)) == 6


def test_an_item_of_another_person_is_no_task(tmp_path: Path) -> None:
    review = open_review(tmp_path, items=1)
    review.add("jane")
    john = review.add("john", reads=False)
    (item,) = review.volume.items

    assert find_task(review.database, john, review.volume.digest, item) is None


def test_the_first_look_is_noted_once(tmp_path: Path) -> None:
    review = open_review(tmp_path, items=1)
    jane = review.add("jane")
    (item,) = review.volume.items
    looks = []
    for _ in range(2):
        task = find_task(review.database, jane, review.volume.digest, item)
        assert task is not None
        open_task(review.database, task)
        looks.append(task.assignment.opened)

    later = find_task(review.database, jane, review.volume.digest, item)
    assert later is not None
    assert looks[0] is None
    assert looks[1] == later.assignment.opened is not None
