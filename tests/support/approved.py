"""A project of which one version is approved, and acts on its records."""

from datetime import timedelta

from segpipe.approval.policy import utc_now
from segpipe.approval.records import Subject
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import Warrant, find_case
from segpipe.registry.promotion import promote
from segpipe.registry.store import connect
from tests.support.reviews import (
    decision,
    password_of,
    signed,
    write_people,
    write_policy,
)
from tests.support.stores import add_packed

CHAMPION = "models:/liver@champion"


def write_reviewed(paths: Paths) -> None:
    """Version 1 is approved and the champion, 2 the candidate that nobody reviewed."""
    write_people(paths.root)
    write_policy(paths.root)
    for seed in (1, 2):
        add_packed(paths, seed, approval="required", trainers=("tom@lab",))
    approve(paths, "1")
    promote("liver", "1", "the first", paths, warrant())


def warrant(name: str = "lea", **more: bool) -> Warrant:
    return Warrant(name, password_of(name), **more)


def about(paths: Paths, version: str) -> Subject:
    return find_case("liver", version, paths).subject


def approve(paths: Paths, version: str, by: str = "lea", **more: object) -> None:
    signed(decision(about(paths, version), **more), by, paths.root)


def withdraw(paths: Paths) -> None:
    approve(paths, "1", what="withdraw", reason="a recall")


def let_it_expire(paths: Paths) -> None:
    withdraw(paths)
    approve(paths, "1", expires=utc_now() - timedelta(seconds=1))


def let_the_trainer_approve(paths: Paths) -> None:
    """Max is known as tom@lab, whom the sealed provenance names."""
    withdraw(paths)
    approve(paths, "1", by="max")


def move_by_hand(paths: Paths, version: str = "2") -> None:
    client, _ = connect(paths)
    client.set_registered_model_alias("liver", "champion", version)


def move_to_an_approved_one_by_hand(paths: Paths) -> None:
    approve(paths, "2")
    move_by_hand(paths)
