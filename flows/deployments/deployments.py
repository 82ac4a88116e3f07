"""deployments: bring the Prefect server's work pools and deployments up to date."""

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.deployments.automations import crash_zombies
from flows.deployments.automations import install as install_automation
from flows.running.commands import environ
from flows.services.review import ADDRESS as REVIEW_ADDRESS
from flows.services.review import address_for_readers
from segpipe.project.origin.study import code_path

POOLS = {
    "cpu": "Flows that look for changes, and that call and wait for others.",
    "gpu": "Trainings: one at a time on each worker, one worker for each GPU.",
}
QUEUE = "workspace"  # its runs change the same workspace, so one runs at a time
Switches = dict[str, bool]  # schedule or automation to whether it is on


def install(root: Path, file: str) -> None:
    """Install pools, the deployments of a file, then automations; idempotent.

    Args:
        root: The project's folder, in which the flows will run.
        file: Name of the file there that lists the deployments, such as prefect.yaml.

    Raises:
        subprocess.CalledProcessError: If ``prefect deploy`` refuses.
    """
    switches = asyncio.run(_prepare())
    words = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    server = get_current_settings().to_environment_variables(exclude_unset=True)
    subprocess.run(
        [sys.executable, "-m", *words],
        cwd=root,
        env={**environ(), **server, **describe_place(root)},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    asyncio.run(_restore(switches))
    install_automation(crash_zombies())


def describe_place(root: Path) -> dict[str, str]:
    """The variables of prefect.yaml: where and by which code the runs of a project run.

    A worker may belong to another project, with another segpipe. SEGPIPE_PYTHON names
    the interpreter where the one that runs now does not exist on the workers' machines.

    Args:
        root: The project's folder.
    """
    python = os.environ.get("SEGPIPE_PYTHON") or shlex.quote(sys.executable)
    return {
        "PWD": str(root),
        "SEGPIPE_PYTHON": python,
        "PYTHONPATH": code_path(),
        REVIEW_ADDRESS: address_for_readers(),
    }


async def _prepare() -> Switches:
    async with get_client() as client:
        await _create_pools(client)
        return await _read_switches(client)


async def _read_switches(client: PrefectClient) -> Switches:
    schedules = {
        f"{deployment.id}/{schedule.slug}": schedule.active
        for deployment in await client.read_deployments()
        for schedule in deployment.schedules
    }
    automations = {each.name: each.enabled for each in await client.read_automations()}
    return {**schedules, **automations}


async def _create_pools(client: PrefectClient) -> None:
    """Create the pools and the queue, unless they exist."""
    template = ProcessWorker.get_default_base_job_template()
    for name, description in POOLS.items():
        pool = WorkPoolCreate(
            name=name,
            type="process",
            description=description,
            base_job_template=template,
        )
        try:
            await client.create_work_pool(pool)
        except ObjectAlreadyExists:
            continue
    try:
        await client.read_work_queue_by_name(QUEUE, work_pool_name="cpu")
    except ObjectNotFound:
        await client.create_work_queue(QUEUE, concurrency_limit=1, work_pool_name="cpu")


async def _restore(switches: Switches) -> None:
    """Restore the switches that people set; deploying has set them as in the file."""
    async with get_client() as client:
        for deployment in await client.read_deployments():
            for schedule in deployment.schedules:
                name = f"{deployment.id}/{schedule.slug}"
                if switches.get(name, schedule.active) != schedule.active:
                    await client.update_deployment_schedule(
                        deployment.id, schedule.id, active=switches[name]
                    )
        for automation in await client.read_automations():
            if automation.enabled and not switches.get(automation.name, True):
                await client.pause_automation(automation.id)
