"""A Dask cluster does the same as this machine, and its failures end in sentences."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster

from segpipe.dataset.casework.mapping import map_cases
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import annotate, evaluate, plan, preprocess, verify, weigh
from tests.support.clusters import (
    cluster_on,
    die,
    die_once,
    hosts_can_be_made,
    on_host,
    process_of,
    refuse_three,
    two_hosts,
)
from tests.support.phantoms import write_dataset
from tests.support.places import ROOT
from tests.support.predicted import predict_references
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PATIENTS,
    PLAN,
    PREPROCESS,
    VERIFY,
    WEIGH,
    run_to_split,
)

# On another host: waits for both workers, then asks 20 cases for their networks.
ASK = """
import os
from distributed import Client
from segpipe.dataset.casework.mapping import map_cases
from tests.support.clusters import network_of
with Client(os.environ["SEGPIPE_DASK"], timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
    found = map_cases(network_of, range(20), workers=1, name=str, describe="ask")
print(len(found), len(set(found)))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and two worker processes on the loopback interface."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def address(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SEGPIPE_DASK", cluster.scheduler_address)
    return str(cluster.scheduler_address)


def test_both_workers_work_and_results_come_in_order(address: str) -> None:
    found = map_cases(process_of, range(20), workers=1, name=str, describe="ask")

    assert [number for number, _ in found] == list(range(20))
    processes = {process for _, process in found}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_the_case_of_a_killed_worker_is_done_by_another(
    address: str, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    found = map_cases(
        partial(die_once, marker), range(8), workers=1, name=str, describe="die"
    )

    assert marker.exists()
    assert found == [number**2 for number in range(8)]


def test_a_failing_case_is_named(address: str) -> None:
    with pytest.raises(DataError, match=r"case 3: scan\.nii: expected a volume"):
        map_cases(refuse_three, range(5), workers=1, name=str, describe="try")


def test_a_case_that_kills_its_workers_is_named(
    cluster: LocalCluster, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)

    with pytest.raises(DataError, match="lost again and again with one of die-0"):
        map_cases(die, range(1), workers=1, name=lambda n: f"die-{n}", describe="die")


@pytest.mark.skipif(not hosts_can_be_made(), reason="needs root and ip netns")
def test_workers_on_two_hosts_share_the_cases() -> None:
    with two_hosts() as names, cluster_on(names) as address:
        done = subprocess.run(
            on_host(names[0], "-c", ASK),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SEGPIPE_DASK": address},
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert done.stdout.split() == ["20", "2"], done.stderr


def test_a_worker_with_two_threads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of work belongs to a process: two threads would work in one."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        monkeypatch.setenv("SEGPIPE_DASK", cluster.scheduler_address)

        with pytest.raises(DataError, match="one thread each, found 2"):
            map_cases(refuse_three, range(2), workers=1, name=str, describe="try")


def artifacts(paths: Paths) -> dict[str, bytes]:
    return {
        file.relative_to(paths.artifacts).as_posix(): file.read_bytes()
        for file in sorted(paths.artifacts.rglob("*"))
        if file.is_file()
    }


def run(paths: Paths) -> dict[str, bytes]:
    verify.run(VERIFY, networks={}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(WEIGH, paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    return artifacts(paths)


def test_a_cluster_writes_the_same_bytes(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's folder is relative, as in the commands."""
    monkeypatch.chdir(tmp_path)
    paths = Paths(Path())
    write_dataset(paths.data, cases=10, patients=PATIENTS, instances=True)
    run_to_split(paths)
    plan.run(PLAN, models={}, paths=paths)
    predict_references(paths, shift=2)
    over_cluster = run(paths)
    shutil.rmtree(paths.cache)
    monkeypatch.delenv("SEGPIPE_DASK")

    assert len(over_cluster) > 50
    dice = json.loads(over_cluster["evaluate/m/metrics.json"])["test"]["dice_mean"]
    assert 0.1 < dice < 0.9  # moved by two voxels: something and not everything agrees
    assert run(paths) == over_cluster


def test_a_scheduler_that_cannot_be_reached_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGPIPE_DASK", "tcp://127.0.0.1:9")
    monkeypatch.setattr("segpipe.dataset.casework.cluster.CONNECT_S", 0.5)

    with pytest.raises(DataError, match="start `dask scheduler` and `dask worker"):
        map_cases(refuse_three, range(2), workers=1, name=str, describe="try")


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGPIPE_DASK", "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(DataError, match=r"pip install 'segpipe\[dask\]'"):
        map_cases(refuse_three, range(2), workers=1, name=str, describe="try")


def test_without_the_variable_distributed_is_not_imported() -> None:
    code = (
        "import sys, segpipe.dataset.casework.mapping as m\n"
        "m.map_cases(abs, [1, 2], workers=1, name=str, describe='none')\n"
        "assert 'distributed' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
