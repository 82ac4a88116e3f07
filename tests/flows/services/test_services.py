"""One start of real services for all: what it starts works, and ends with it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Response
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from flows.services.door import authorization
from flows.services.environment import find_login
from flows.services.pages import find_pages
from flows.services.processes.daemons import MARK, family, lives
from flows.services.processes.ports import listener, owner
from flows.services.services import Services, Starter, clear, read_services, start, stop
from segpipe.approval.protocol import write_protocol
from segpipe.evaluation.report.page import page_file
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE
from segpipe.project.paths import Paths
from segpipe.tools.study.files import describe_study, files_of_segpipe
from tests.support.browser import browser
from tests.support.deployed import BUSY, ask, build_project, csrf, run, state
from tests.support.places import ROOT
from tests.support.servers import free_port, postgres_server, wait_until
from tests.support.trainings import write_training

pytestmark = [
    pytest.mark.slow,
    # What outlives its shell outlives its Popen object.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose services run; a silent run is lost after 20 s, not 90."""
    folder = build_project(tmp_path_factory.mktemp("services") / "project")
    code = (folder / "flows" / "deployments" / "automations.py").read_text()
    shorter = code.replace("seconds=90", "seconds=20")
    assert shorter != code
    (folder / "flows" / "deployments" / "automations.py").write_text(shorter)
    write_protocol(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
        patch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))
        patch.setenv("SEGPIPE_REVIEW_PORT", str(free_port()))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.delenv("SEGPIPE_REVIEW_DATABASE", raising=False)
        patch.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
        patch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
        try:
            (folder / "printed").write_text(serve(folder, said=folder / "said"))
            patch.setenv("PREFECT_API_AUTH_STRING", find_login(folder / ".services"))
            yield folder
        finally:
            stop(folder)


def serve(folder: Path, *, said: Path | None = None) -> str:
    """What `make serve` prints; what it says meanwhile goes to a file."""
    words = [sys.executable, "-m", "flows.services", "start"]
    answer = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    if said is not None:
        said.write_text(answer.stderr)
    return answer.stdout


@pytest.fixture(scope="module")
def services(root: Path) -> Services:
    return read_services(root)


@pytest.fixture(scope="module")
def lost(root: Path, services: Services) -> str:
    """A run whose worker and process were killed, maybe before its heart beat once."""
    number = run(services.api, "sleep", file="lost")
    process = wait_until(lambda: read_number(root / "lost.run"), 60)
    worker = services.running()["train-cpu"].find()
    assert worker is not None
    worker.kill()
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not lives(worker), 30)
    return number


def read_number(file: Path) -> int:
    return int(file.read_text() or 0) if file.is_file() else 0


def test_the_servers_answer_and_a_worker_waits_in_each_pool(services: Services) -> None:
    page = fetch(services.mlflow).content
    pools = {
        pool: [
            worker["name"]
            for worker in ask(services.api, f"work_pools/{pool}/workers/filter", {})
        ]
        for pool in ("cpu", "gpu")
    }

    assert b"MLflow" in page
    assert pools == {"cpu": ["cpu"], "gpu": ["train-cpu"]}


def fetch(
    url: str,
    method: str = "GET",
    *,
    login: str | None = None,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> httpx.Response:
    """An answer, with the login that everybody has who may ask."""
    login = os.environ["PREFECT_API_AUTH_STRING"] if login is None else login
    known = {"Authorization": authorization(login)} if login else {}
    given = {**known, **(headers or {})}
    return httpx.request(method, url, headers=given, content=body, timeout=30)


def test_the_review_is_served_with_a_login_of_its_own(
    root: Path, services: Services
) -> None:
    """Readers get neither the login of the servers nor a second question."""
    answer = fetch(f"{services.review}/login", login="")
    first = fetch(f"{services.review}/", login="")

    assert pages(root)["Review"] == services.review
    assert answer.status_code == 200
    assert "www-authenticate" not in answer.headers
    assert (first.status_code, first.headers["location"]) == (303, "/login")
    assert (root / ".reviews" / "accounts.db").stat().st_mode & 0o777 == 0o600


JSON, TEXT = "application/json", "text/plain"
READ_RUNS = "api/2.0/mlflow/runs/search"
EVIL_STEP = {"prefect.deployments.steps.run_shell_script": {"script": "touch ran"}}
# Server, method, path, Content-Type, body. TICK is the id of a deployment, FLOW of its
# flow. Without the door Prefect answers all of them to everybody, MLflow most of them.
REQUESTS: dict[str, tuple[str, str, str, str, object]] = {
    "deploy a script": (
        "api",
        "POST",
        "deployments/",
        JSON,
        {
            "name": "NAME",
            "flow_id": "FLOW",
            "work_pool_name": "cpu",
            "pull_steps": [EVIL_STEP],
        },
    ),
    "run it": (
        "api",
        "POST",
        "deployments/TICK/create_flow_run",
        JSON,
        {"state": {"type": "SCHEDULED"}},
    ),
    "pause without a preflight": (
        "api",
        "POST",
        "deployments/TICK/pause_deployment",
        TEXT,
        None,
    ),
    "send an event": ("api", "POST", "events", JSON, []),
    "read the deployments": ("api", "POST", "deployments/filter", JSON, {}),
    "take a CSRF token": ("api", "GET", "csrf-token?client=NAME", JSON, None),
    "read the settings": ("api", "GET", "admin/settings", JSON, None),
    "create an experiment": (
        "mlflow",
        "POST",
        "api/2.0/mlflow/experiments/create",
        JSON,
        {"name": "NAME"},
    ),
    "read runs": ("mlflow", "POST", READ_RUNS, JSON, {"experiment_ids": ["0"]}),
    "read an experiment": (
        "mlflow",
        "GET",
        "api/2.0/mlflow/experiments/get?experiment_id=0",
        JSON,
        None,
    ),
    "read a page": ("mlflow", "GET", "", JSON, None),
}
# Login and headers. A web page may even have the login, which a browser adds by itself.
REPEATED = ("heartbeat persistence failed", ", 0 dropped)")
EVIL = "https://evil.example"
ATTACKERS: dict[str, tuple[bool, dict[str, str]]] = {
    "a foreign page": (True, {"Origin": EVIL}),
    "a page of another port": (True, {"Origin": "http://127.0.0.1:9999"}),
    "a sandboxed page": (True, {"Origin": "null"}),
    "a rebound name": (True, {"Host": "evil.example:PORT"}),
    "a rebound name with its origin": (
        True,
        {"Host": "10.evil.example:PORT", "Origin": "http://10.evil.example:PORT"},
    ),
    "another user's curl": (False, {}),
    "another user's guess": (
        False,
        {"Authorization": authorization("segpipe:segpipe")},
    ),
}
OWN: dict[str, str] = {"Origin": "http://127.0.0.1:PORT"}


def send(
    services: Services, name: str, *, known: bool, headers: dict[str, str], new: str
) -> int:
    """Status of the answer to a request of the table."""
    server, method, path, content, body = REQUESTS[name]
    url, port = services.api, services.prefect_port
    if server == "mlflow":
        url, port = services.mlflow, services.mlflow_port
    tick = ask(services.api, "deployments/name/tick/tick")
    names = {"TICK": tick["id"], "FLOW": tick["flow_id"], "NAME": new}
    text = "" if body is None else json.dumps(body)
    for word, value in names.items():
        path, text = path.replace(word, value), text.replace(word, value)
    own = {key: value.replace("PORT", str(port)) for key, value in headers.items()}
    if known and server == "api":
        own |= csrf(services.api)
    answer = fetch(
        f"{url}/{path}",
        method,
        login=None if known else "",
        headers={"Content-Type": content, **own},
        body=text.encode(),
    )
    return answer.status_code


@pytest.mark.parametrize("attacker", ATTACKERS)
@pytest.mark.parametrize("name", REQUESTS)
def test_nobody_else_reads_or_changes_anything(
    services: Services, name: str, attacker: str
) -> None:
    known, headers = ATTACKERS[attacker]

    status = send(services, name, known=known, headers=headers, new="evil")

    assert status in ((403,) if known else (401, 403))


def test_the_page_counts_the_attacks() -> None:
    page = (ROOT / "docs" / "how-to" / "servers.md").read_text(encoding="utf-8")

    assert f"{len(REQUESTS)} requests by {len(ATTACKERS)} attackers are refused" in page


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_requests_by_the_servers_own_pages_are_answered(
    root: Path, services: Services, name: str
) -> None:
    """So the attacks above fail for the right reason; and none has left a trace."""
    own = f"own {name}"
    if name == "pause without a preflight":
        tick = ask(services.api, "deployments/name/tick/tick")
        assert not tick["paused"]

    def status() -> int:
        code = send(services, name, known=True, headers=OWN, new=own)
        return 0 if code == BUSY else code

    assert wait_until(status, 60) < 300
    deployments = ask(services.api, "deployments/filter", {})
    assert "evil" not in {each["name"] for each in deployments}
    search = f"{services.mlflow}/api/2.0/mlflow/experiments/search?max_results=99"
    assert "evil" not in fetch(search).text
    assert not (root / "ran").exists()
    if name == "pause without a preflight":
        ask(services.api, f"deployments/{tick['id']}/resume_deployment", {})


@pytest.mark.parametrize("preflight", ["api", "mlflow"])
def test_no_foreign_page_is_told_that_it_may_ask(
    services: Services, preflight: str
) -> None:
    url = {
        "api": f"{services.api}/deployments/",
        "mlflow": f"{services.mlflow}/api/2.0/mlflow/experiments/create",
    }[preflight]
    asks = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}

    answer = fetch(url, "OPTIONS", headers=asks)

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("place", ["events/in", "events/out", "logs/out"])
def test_a_websocket_needs_the_own_origin_and_the_login(
    services: Services, place: str
) -> None:
    """A page opens one without asking; events start flows, logs hold what they do."""
    login = os.environ["PREFECT_API_AUTH_STRING"]

    def answer(token: str, name: str = "127.0.0.1", origin: str | None = None) -> str:
        with connect(
            f"ws://{name}:{services.prefect_port}/api/{place}",
            sock=socket.create_connection(("127.0.0.1", services.prefect_port)),
            subprotocols=[Subprotocol("prefect")],
            origin=None if origin is None else Origin(origin),
        ) as stream:
            stream.send(json.dumps({"type": "auth", "token": token}))
            return str(json.loads(stream.recv(timeout=30))["type"])

    with pytest.raises(InvalidStatus, match="403"):
        answer(login, origin=EVIL)
    with pytest.raises(InvalidStatus, match="403"):
        answer(login, name="evil.example")
    with pytest.raises(ConnectionClosed):
        answer("segpipe:segpipe")
    own = f"http://127.0.0.1:{services.prefect_port}"
    assert answer(login, origin=own) == "auth_success"


def test_the_printed_lines_let_other_shells_in_and_the_password_stands_there_once(
    root: Path, services: Services, tmp_path: Path
) -> None:
    printed = (root / "printed").read_text()
    exports = [line for line in printed.splitlines() if "export " in line]
    paths = Paths(tmp_path)
    write_text(paths.params, "format_version: 1\nmodels: [a]\nfolds: [0]\n")
    write_training(paths, "a", 0)
    write_text(page_file(paths.artifacts), "<p>page</p>")
    record = f"{sys.executable} -m segpipe record"

    def run_in_shell(*lines: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-ec", "\n".join(lines)],
            cwd=tmp_path,
            env={**os.environ, "PREFECT_API_AUTH_STRING": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    let_in = run_in_shell(*exports, record, "prefect deployment ls")
    kept_out = run_in_shell(exports[0], record)

    assert printed.count(find_login(root / ".services").split(":")[1]) == 1
    assert let_in.returncode == 0, let_in.stderr
    assert "recorded" in let_in.stdout
    assert "tick/tick" in let_in.stdout
    assert kept_out.returncode == 1
    assert "set MLFLOW_TRACKING_USERNAME" in kept_out.stderr
    assert (root / ".services").stat().st_mode & 0o777 == 0o700


def test_a_command_without_variables_writes_to_the_store_that_is_served(
    root: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server writes, too; both their runs, and its files, are seen there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = Paths(root)
    write_text(paths.params, "format_version: 1\nmodels: [a, b]\nfolds: [0]\n")
    write_text(page_file(paths.artifacts), "<p>page</p>")
    for model in "ab":
        write_training(paths, model, 0)

    words = [sys.executable, "-m", "segpipe", "record"]
    number = pages(root)["Runs"].split("/experiments/")[1].split("/")[0]
    create = f"{services.mlflow}/api/2.0/mlflow/runs/create"
    written = 0
    with subprocess.Popen(words, cwd=root) as process:
        while process.poll() is None or written < 20:
            body = json.dumps({"experiment_id": number, "run_name": "c"}).encode()
            answer = fetch(create, "POST", body=body, headers={"Content-Type": JSON})
            assert answer.status_code == 200, answer.text
            written += 1
            time.sleep(0.05)
    assert process.returncode == 0

    runs = f"{services.mlflow}/{READ_RUNS}"
    body = json.dumps({"experiment_ids": [number], "max_results": 9999}).encode()
    found = fetch(runs, "POST", body=body, headers={"Content-Type": JSON}).json()
    named = {one["info"]["run_name"]: one["info"]["run_id"] for one in found["runs"]}
    names = [one["info"]["run_name"] for one in found["runs"]]
    assert {"a", "a-0", "b", "b-0"} <= set(names)
    assert names.count("c") == written
    file = f"get-artifact?run_uuid={named['a']}&path=report/index.html"
    assert fetch(f"{services.mlflow}/{file}").text == "<p>page</p>"


def pages(root: Path) -> dict[str, str]:
    """The printed addresses by name."""
    lines = [line.split() for line in (root / "printed").read_text().splitlines()]
    names = ("Report", "Runs", "Versions", "Deployments", "Review")
    return {line[0]: line[1] for line in lines if line and line[0] in names}


def test_a_server_that_does_not_know_the_project_is_said_with_the_mend(
    services: Services, tmp_path: Path
) -> None:
    """An older server did not open an experiment, and kept a store of its own."""
    describe_study("unknown", {}).write(tmp_path / FILE)
    login = os.environ["PREFECT_API_AUTH_STRING"]

    with pytest.raises(DataError, match=r"experiment unknown, found HTTP.*404.*stop`"):
        find_pages(tmp_path, api=services.api, mlflow=services.mlflow, login=login)


def test_a_start_says_what_it_waits_for_at_least_every_few_seconds(root: Path) -> None:
    said = (root / "said").read_text().splitlines()
    moments = [datetime.strptime(line[:8], "%H:%M:%S") for line in said]
    gaps = [(one - before).total_seconds() for before, one in pairwise(moments)]

    assert max(gaps) <= 10, said
    for name in ("prefect", "mlflow", "review", "cpu", "train-cpu"):
        assert any(f"{name}: starts; its log is" in line for line in said)
        assert any(f"{name}: ready after" in line for line in said)


def test_a_person_uses_both_pages_in_a_browser(root: Path, services: Services) -> None:
    login = os.environ["PREFECT_API_AUTH_STRING"]
    user, _, password = login.partition(":")
    credentials = {"username": user, "password": password}
    with browser() as one:
        page = one.new_context(http_credentials=credentials).new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))

        def status(path: str) -> int:
            """The highest status of answers to requests with this path."""

            def worst() -> int:
                page.wait_for_timeout(50)  # lets the page go on
                found = [answer.status for answer in answers if path in answer.url]
                return max(found, default=0)

            return wait_until(worst, 60, what=path)

        page.goto(pages(root)["Runs"])
        page.get_by_text("matching runs").first.wait_for(timeout=60_000)
        assert not page.get_by_text("Playground").count()  # of language models
        assert status("/ajax-api/2.0/mlflow/experiments/search") == 200

        page.goto(pages(root)["Deployments"])
        page.get_by_text("Login").first.wait_for(timeout=60_000)
        page.locator("input[type=password]").fill(login)
        answers.clear()
        page.locator("button[type=submit]").click()
        page.get_by_text("together").first.wait_for(timeout=60_000)
        assert status("/api/deployments") == 200
        assert status("/api/") == 200


def test_the_runs_of_a_cron_schedule_are_planned_and_one_runs(
    root: Path, services: Services, lost: str
) -> None:
    """With SQLAlchemy 2.1 a schedule of Prefect 3.8 never fires, in silence."""
    body = {"deployments": {"name": {"any_": ["tick"]}}, "sort": "START_TIME_ASC"}

    def runs(kind: str) -> list[object]:
        every = ask(services.api, "flow_runs/filter", body)
        return [
            each
            for each in every
            if each["auto_scheduled"] and each["state_type"] == kind
        ]

    planned = wait_until(lambda: runs("SCHEDULED"), 30)
    ran = wait_until(lambda: runs("COMPLETED"), 100)

    assert planned
    assert ran
    assert (root / "ticked").read_text() == "none"
    assert not errors(root)


def errors(root: Path) -> list[str]:
    """Errors of the server, but for those after which it tries again.

    A busy database may refuse a heartbeat or a flush of events once. The line of a
    flush counts the events that were dropped. A message that was refused each time goes
    to the queue of dead letters.
    """
    log = (root / ".services" / "logs" / "prefect.log").read_text()
    lost = [line for line in log.splitlines() if "dead letter queue" in line]
    lines = [line for line in log.splitlines() if re.search(r"\bERROR\b", line)]
    return lost + [line for line in lines if not any(one in line for one in REPEATED)]


def test_a_run_whose_worker_was_killed_ends_as_crashed(
    root: Path, services: Services, lost: str
) -> None:
    wait_until(lambda: state(services.api, lost) == "CRASHED", 60)

    message = ask(services.api, f"flow_runs/{lost}")["state"]["message"]
    assert "No heartbeat for 20 s" in message
    command = read_number(root / "lost")  # its guard ends it
    if command:  # else it was killed before it started its command
        wait_until(lambda: not psutil.pid_exists(command), 30)


def test_a_second_start_starts_what_died_and_nothing_else(
    root: Path, services: Services, lost: str
) -> None:
    before = services.running()
    deployment = ask(services.api, "deployments/name/together/together")
    (schedule,) = deployment["schedules"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    ask(services.api, path, {"active": True}, method="PATCH")

    printed = serve(root)
    after = read_services(root).running()

    assert find_login(root / ".services").split(":")[1] not in printed
    assert set(before) == {"prefect", "mlflow", "review", "cpu"}
    assert set(after) == {*before, "train-cpu"}
    assert {name: after[name] for name in before} == before
    deployment = ask(services.api, "deployments/name/together/together")
    assert [each["active"] for each in deployment["schedules"]] == [True]
    assert len(ask(services.api, "automations/filter", {})) == 1


PLACE = """\
import os, sys
from pathlib import Path
from prefect import flow
import flows.train, segpipe.project.paths

@flow
def place() -> None:
    flows.train.keep_checkpoints(os.getcwd())
    found = [sys.executable, flows.train.__file__, segpipe.project.paths.__file__]
    Path("place").write_text("\\n".join([*found, os.environ["SEGPIPE_CHECKPOINTS"]]))
"""


def test_a_run_of_another_study_has_its_own_code_and_checkpoints(
    root: Path, services: Services, tmp_path: Path
) -> None:
    """The worker is that of a project with a copy of the code, under another Python.

    Deploying also sets back for how long a run of these servers may be silent, so that
    this comes after the test that waits for it.
    """
    study = tmp_path / "the study"
    venv.create(study / "venv", symlinks=True)
    python = study / "venv" / "bin" / "python"
    (place,) = study.glob("venv/lib/*/site-packages")
    (place / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (study / "dvc.yaml").write_text("stages: {}\n")
    (study / "place.py").write_text(PLACE)
    described = files_of_segpipe("liver")["prefect.yaml"].partition("deployments:\n")
    one = "  - {name: place, entrypoint: place.place, work_pool: *cpu}\n"
    (study / "prefect.yaml").write_text("".join([*described[:2], one]))
    subprocess.run(
        [python, "-m", "flows.deployments"],
        cwd=study,
        env={**os.environ, "PREFECT_API_URL": services.api, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    number = run(services.api, "place")
    wait_until(
        lambda: state(services.api, number) in ("COMPLETED", "FAILED", "CRASHED"), 90
    )

    assert state(services.api, number) == "COMPLETED", last_lines(root, "cpu")
    assert (study / "place").read_text().splitlines() == [
        str(python),
        str(ROOT / "flows" / "train.py"),
        str(ROOT / "segpipe" / "project" / "paths.py"),
        str(study / ".checkpoints"),
    ]


def last_lines(root: Path, name: str) -> str:
    return (root / ".services" / "logs" / f"{name}.log").read_text()[-3000:]


def test_a_port_that_another_has_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(port))
        with pytest.raises(DataError, match=rf"{port}.*SEGPIPE_PREFECT_PORT=") as error:
            start(tmp_path)

    assert f"process {os.getpid()}" in str(error.value)
    assert not (tmp_path / ".services" / "services.json").exists()


def test_what_a_killed_server_left_on_its_port_gives_way(tmp_path: Path) -> None:
    """MLflow's server is a child of the command, which alone may have been killed."""
    port = free_port()
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    mark = {MARK: str(tmp_path / ".services")}
    with subprocess.Popen(
        words, env={**os.environ, **mark}, stderr=subprocess.DEVNULL
    ) as left:
        wait_until(lambda: listener(port) is not None, 20)

        clear(Starter(tmp_path, read_services(tmp_path)), "mlflow", port)

        assert left.wait(10) != 0
    assert owner(port) is None


def test_a_start_that_fails_leaves_nothing_behind_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_project(tmp_path / "project")
    nowhere = "postgresql+asyncpg://segpipe:s3cret-word@127.0.0.1:1/none"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", nowhere)
    monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))

    with pytest.raises(
        DataError, match=r"(?s)prefect\.log.*Connect call failed"
    ) as error:
        start(folder)

    assert "s3cret-word" not in str(error.value)
    assert not family([], folder / ".services")


def test_stop_ends_all_that_was_started_and_nothing_else(
    root: Path, services: Services
) -> None:
    number = run(services.api, "sleep", file="stopped")
    sleeper = psutil.Process(wait_until(lambda: read_number(root / "stopped"), 60))
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as other:
        before = family(read_services(root).daemons, root / ".services")
        ended = stop(root)

        assert other.poll() is None
    assert number
    assert sleeper in before
    assert len(before) >= 8  # five services, the run, its guard and command
    assert set(ended) == {"prefect", "mlflow", "review", "cpu", "train-cpu"}
    assert not family(services.daemons, root / ".services")
    assert not [process for process in before if lives(process)]
    assert stop(root) == []


def test_on_postgres_tasks_run_side_by_side_and_no_password_is_kept(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("postgres")
    with postgres_server(folder / "server") as url:
        monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", url)
        monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
        monkeypatch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))
        root = build_project(folder / "project")
        try:
            api = start(root).api
            login = find_login(root / ".services")
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", login)
            numbers = [run(api, "together") for _ in range(2)]
            for number in numbers:
                wait_until(lambda number=number: state(api, number) == "COMPLETED", 90)
            time.sleep(1)
        finally:
            stop(root)

        assert not errors(root)
        assert not (root / ".services" / "prefect" / "prefect.db").exists()
        for file in (root / ".services").rglob("*"):
            assert not file.is_file() or b"s3cret-word" not in file.read_bytes()
