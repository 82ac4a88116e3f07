"""retrain: bring everything up to date, register a candidate that is not worse.

The flow runs on a schedule, by hand, or on the event of `watch`. Nothing is trained if
the data did not change, and no segmenter is registered twice.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.events import emit_event

from flows.reproduce import bring_data, remember_data, reproduce
from flows.running.commands import CommandError, stream
from flows.running.distribution import TrainOn
from flows.running.invitation import ask_readers
from flows.running.page import show_picture
from flows.running.temporary import by_hand
from flows.running.workspace import commit_run, has_git, occupied
from segpipe.project.errors import DataError
from segpipe.project.params import read_section
from segpipe.project.paths import Paths
from segpipe.project.progress import speaking
from segpipe.registry.gate.compare import (
    choose_model,
    compare_with_champion,
    comparison_file,
)
from segpipe.registry.gate.comparison import Comparison, Rule
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.register import default_name, find_trained, register_model
from segpipe.registry.versions import CHAMPION, Version, find_alias, find_segmenter
from segpipe.segmenter.compute import ComputeParams, build_compute

REGISTERED = "segpipe.candidate.registered"  # an event, for automations
DONE = ".done"  # folder of the imported deliveries, in the inbox
RULE = Rule()


@flow(name="retrain")
def retrain(
    root: str = ".",
    name: str | None = None,
    model: str | None = None,
    margin: float = RULE.margin,
    structure_margin: float = RULE.structure_margin,
    minimum_patients: int = RULE.minimum_patients,
    inbox: str | None = None,
    import_options: list[str] | None = None,
    settle_s: float = 60.0,
    train_on: TrainOn = "auto",
    deployment: str | None = None,
    repository: str | None = None,
) -> str:
    """Import new data, reproduce, compare with the champion, register a candidate.

    Where there is a review.yaml, the review of the candidate is built and its readers
    are told; no run waits for them.

    Args:
        root: The project's folder.
        name: Name of the registered model; the data set's name if left out.
        model: Model of params.yaml that is the candidate; the best on its validation
            patients if left out.
        margin: Largest loss of mean Dice against the champion that is accepted, at the
            lower end of the 95 % interval.
        structure_margin: Largest loss of one structure's mean Dice that is accepted,
            even if it is beyond chance.
        minimum_patients: With fewer test patients that neither of the two trained on,
            nothing is registered.
        inbox: Folder of deliveries, a folder each, that are imported into data/ first.
        import_options: Options of `segpipe import`, such as --images, images.
        settle_s: A delivery with a file younger than this, in seconds, is left for the
            next run: somebody may still be writing it.
        train_on: Where networks train: auto, here or workers, as in reproduce.
        deployment: Deployment of the flow train; its work pool determines the workers.
            None: the one in the project's prefect.yaml.
        repository: Address that these workers fetch commits from; none if they can
            read the project's folder.

    Returns:
        The outcome: registered, rejected or unchanged.

    Raises:
        CommandError: If a stage or an import fails.
        DataError: If artifacts, registry or workspace do not allow it.
    """
    root = str(Path(root).resolve())
    if inbox is not None:
        take_in(root, inbox, import_options or [], settle_s)
    reproduce(
        root=root, train_on=train_on, deployment=deployment, repository=repository
    )
    with speaking("retrain", say=get_run_logger().info), occupied(root):
        chosen = model or choose_candidate(root)
        paths = Paths(Path(root))
        called = name or default_name(paths)
        known = find_segmenter(called, find_trained(chosen, paths).digest, paths)
        if known is not None:
            asked = ask_readers(root, known)
            words = f"Nothing new: {chosen} is version {known.version} of {called}."
            note(f"{words}{asked}")
            return "unchanged"
        rule = Rule(
            margin=margin,
            structure_margin=structure_margin,
            minimum_patients=minimum_patients,
        )
        comparison = compare(root, called, chosen, rule)
        if comparison is not None and not comparison.accepted:
            note(f"{chosen} is not registered.\n\n{comparison.markdown()}")
            return "rejected"
        version = register(root, called, chosen)
        asked = ask_readers(root, version)
    shown = comparison.markdown() if comparison else "There is no champion yet."
    words = f"{chosen} is version {version.version} of {called}, to review."
    note(f"{words}{asked}\n\n{shown}")
    return "registered"


@task(task_run_name="inbox", cache_policy=NO_CACHE)
def take_in(root: str, inbox: str, options: list[str], settle_s: float) -> None:
    """Import each delivery into data/, and track the data with DVC.

    A refused delivery stays and stops the flow, and nothing of it is in data/. For each
    other one:

    1. ``segpipe import --add`` writes all its cases into data/, or none;
    2. ``dvc add data`` describes them in data.dvc;
    3. the run remembers that data.dvc belongs to the data on disk;
    4. the delivery is moved to ``INBOX/.done``.

    A run that was killed after any step is repeated from step 1, which leaves out the
    cases that are in data/ already: nobody gets in twice, and no step is left out.

    Raises:
        CommandError: If a delivery is refused; the message gives the reason.
        DataError: If the inbox is not a folder, or an option would delete data.
    """
    log, place = get_run_logger(), Path(inbox).resolve()
    if not place.is_dir():
        raise DataError(f"{inbox}: expected an inbox, found no folder; create it")
    if "--replace" in options:
        raise DataError("import_options: --replace deletes data; use it by hand only")
    folders = [one for one in sorted(place.iterdir()) if one.is_dir()]
    for delivery in folders:
        if delivery.name.startswith("."):
            continue
        if time.time() - newest(delivery) < settle_s:
            log.info("%s may still be written: left for the next run", delivery.name)
            continue
        with occupied(root):
            bring_data(root)  # otherwise older data would replace newer ones
            words = ["segpipe", "import", str(delivery), "data", "--add", *options]
            stream(root, words)
            stream(root, ["dvc", "add", "data"])
            remember_data(root)
            (place / DONE).mkdir(exist_ok=True)
            delivery.rename(place / DONE / f"{time.time_ns()}-{delivery.name}")


def newest(folder: Path) -> float:
    """Time of the last change in a folder, in seconds since 1970."""
    return max(path.lstat().st_mtime for path in [folder, *folder.rglob("*")])


@task(task_run_name="choose", cache_policy=NO_CACHE)
def choose_candidate(root: str) -> str:
    """Choose the model that is best on its validation patients."""
    chosen, words, figures = choose_model(Paths(Path(root)))
    shown = ", ".join(f"{model} {figure:.4f}" for model, figure in figures.items())
    get_run_logger().info("candidate: %s (validation %s %s)", chosen, words, shown)
    return chosen


@task(task_run_name="compare", cache_policy=NO_CACHE)
def compare(root: str, name: str, model: str, rule: Rule) -> Comparison | None:
    """Compare the candidate with the champion; None if there is no champion."""
    paths = Paths(Path(root))
    champion = find_alias(name, CHAMPION, paths)
    if champion is None:
        return None
    fetched = fetch(f"models:/{name}/{champion.version}", paths)
    comparison = compare_with_champion(
        model,
        fetched.folder,
        champion_name=f"{name} {champion.version}",
        sealed=fetched.sealed,
        rule=rule,
        compute=build_compute(read_section(paths.params, "compute", ComputeParams)),
        paths=paths,
    )
    show_picture(
        comparison_file(comparison, paths).with_suffix(".png"),
        key="comparison",
        description="Dice of the candidate against that of the champion",
    )
    return comparison


@task(task_run_name="register", cache_policy=NO_CACHE)
def register(root: str, name: str, model: str) -> Version:
    """Register the candidate, which then waits for a person's review."""
    paths, tags = Paths(Path(root)), dict[str, str]()
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        tags["prefect.flow_run"] = str(context.flow_run.id)
    if has_git(root):
        try:
            tags["segpipe.commit"] = commit_run(root)
        except DataError as error:
            get_run_logger().warning("this version has no commit: %s", error)
    version = register_model(model, name, tags=tags, paths=paths)
    emit_event(
        REGISTERED,
        resource={"prefect.resource.id": f"segpipe.model.{name}"},
        payload={"name": name, "version": version.version, "model": model},
    )
    return version


def note(text: str) -> None:
    """Write the outcome to the log and to the run's page."""
    get_run_logger().info(text)
    create_markdown_artifact(text, key="retrain", description="Outcome of the run")


def main() -> None:
    """Run the flow from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.retrain",
        description="Reproduce; register a candidate that is not worse than the "
        "champion.",
        epilog="example: python -m flows.retrain --inbox ~/deliveries",
    )
    parser.add_argument("--name", help="name of the registered model")
    parser.add_argument(
        "--model", help="model of params.yaml; by default the best on validation"
    )
    parser.add_argument("--inbox", help="folder of deliveries to import first")
    parser.add_argument(
        "--margin", type=float, default=RULE.margin, help="loss of mean Dice"
    )
    options = parser.parse_args()
    try:
        with by_hand("retrain"):
            retrain(
                name=options.name,
                model=options.model,
                inbox=options.inbox,
                margin=options.margin,
            )
    except (CommandError, DataError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
