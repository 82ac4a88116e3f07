"""From a candidate to the champion, as people do it: a browser, MLflow, commands."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.approval.chain.verification import verify
from segpipe.approval.records import Decision, Reading
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.versions import find_alias
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.dossier import Key, read_key
from segpipe.review.shelf import open_volume
from tests.support.browser import browser
from tests.support.readers import Review, served
from tests.support.reviewed import register_fold
from tests.support.reviews import CHEAP, password_of, write_policy
from tests.support.servers import mlflow_server

pytestmark = pytest.mark.slow
PEOPLE = {
    "ann": "admin",
    "lea": "lead",
    "rob": "reader",
    "ray": "reader",
    "ida": "adjudicator",
}
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"
WORDS = ["--name", "balls"]


def segpipe(*words: str) -> str:
    """What a command prints; its error is raised."""
    result = CliRunner().invoke(app, words)
    if result.exception is not None:
        raise result.exception
    return result.output


def by(name: str) -> list[str]:
    return ["--as", name, "--password-file", f"{name}.password"]


@pytest.fixture
def paths(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Paths]:
    """A project with a policy, its people, a champion and a candidate."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    monkeypatch.setattr(keys, "COST", CHEAP)
    few = {"worst": "1", "random": "2", "repeats_fraction": "0.0", "controls": "1"}
    write_policy(root, **few, cases="2")
    with mlflow_server(tmp_path / "mlflow") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        paths = Paths(root)
        for model, alias in (("poor", "champion"), ("good", "candidate")):
            fold = paths.artifacts / "train" / model / "0" / "segmenter"
            trainers = {"approval": "required", "trainers": ("tom",)}
            register_fold(paths, fold, alias=alias, **trainers)
        for name, role in PEOPLE.items():
            file = root / f"{name}.password"
            file.write_text(password_of(name))
            file.chmod(0o600)
            words = ["--printed-name", f"Dr {name.title()}", "--role", role]
            words += ["--password-file", f"{name}.password"]
            if name != "ann":
                words += ["--by", "ann", "--by-password-file", "ann.password"]
            segpipe("review", "users", "add", name, *words)
        yield paths


def enter(chromium: Browser, review: Review, name: str) -> Page:
    """Log in and open the first case."""
    page = log_in(chromium, review, name)
    page.locator("a.main").first.click()
    return page


def log_in(chromium: Browser, review: Review, name: str) -> Page:
    page = chromium.new_context().new_page()
    page.add_init_script(NO_WEBGL)  # the montage is enough, and quicker
    page.goto(review.url)
    page.locator("#name").fill(name)
    page.locator("#password").fill(password_of(name))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    return page


def read_all(page: Page, name: str, review: Review, key: Key) -> None:
    """Rate each case: 1 what was spoilt, 2 where ray finds more than rob, else 4."""
    while "/items/" in page.url:
        item = page.url.rpartition("/")[2]
        shown = key.items[item]
        for letter, source in shown.letters.items():
            score = "4"
            if source == "candidate" and shown.fault is not None:
                score = "1"
            elif source == "candidate" and name == "ray":
                score = "2"
            for structure in review.volume.dossier.structures:
                field = f"#score-{letter}-{structure.value}"
                page.locator(field).select_option(score)
        page.locator("#store").click()
        page.wait_for_url(lambda url, item=item: not url.endswith(item))
    page.locator("#password").fill(password_of(name))
    page.locator("main button.main").click()
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    page.context.close()


def decide_as_the_lead(chromium: Browser, review: Review) -> None:
    page = log_in(chromium, review, "lea")
    page.goto(f"{review.url}{review.address}/decide")
    page.locator('input[name="decision"][value="approve"]').check()
    page.locator('[name="reason"]').fill("every random case is acceptable")
    page.locator("#password").fill(password_of("lea"))
    page.locator("main button.main").click()
    page.wait_for_url("**/lead")
    page.context.close()


def test_a_candidate_becomes_the_champion_by_what_people_signed(paths: Paths) -> None:
    with pytest.raises(DataError, match="no record decides about the segmenter"):
        segpipe("promote", "2", *WORDS, "--why", "better", *by("lea"))

    folder = Path(segpipe("review", "build", "2", *WORDS).splitlines()[-1])
    key = read_key(folder)
    assert "rob" in segpipe("review", "assign", str(folder))
    database = open_database(address_of(paths))
    with (
        browser() as chromium,
        served(Review(database, open_volume(folder), paths.root)) as review,
    ):
        for name in ("rob", "ray"):
            read_all(enter(chromium, review, name), name, review, key)
        # They disagree on what ray rated 2, so ida has that to read and nothing else.
        read_all(enter(chromium, review, "ida"), "ida", review, key)
        decide_as_the_lead(chromium, review)
    segpipe("promote", "2", *WORDS, "--why", "finds the core", *by("lea"))
    image = next((paths.data / "imagesTr").iterdir())
    champion = "models:/balls@champion"
    segpipe("segment", champion, str(image), "--output", "out", "--device", "cpu")

    chain = verify(paths.root)
    assert not chain.faults
    kinds = Counter(one.content.kind for one in chain.records)
    items = len(key.items)
    assert kinds["enrolment"] == len(PEOPLE)
    assert kinds["reading"] == 2 * items
    assert (kinds["decision"], kinds["promotion"]) == (1, 1)
    decided = next(
        one.content for one in chain.records if isinstance(one.content, Decision)
    )
    assert set(decided.cases) == set(key.items)
    spoilt = [one for one in key.items.values() if one.fault is not None]
    assert kinds["adjudication"] == items - len(spoilt)
    assert len(decided.readings) == kinds["reading"] + kinds["adjudication"]
    read = [one for one in chain.records if isinstance(one.content, Reading)]
    assert {one.printed_name for one in read} == {"Dr Rob", "Dr Ray"}
    found = find_alias("balls", "champion", paths)
    assert found is not None
    assert found.version == "2"
    (mask,) = Path("out").glob("*.nii*")
    assert decided.subject.segmenter in segpipe("lineage", str(mask))
    last = segpipe("history", "balls").splitlines()[-1]
    assert "Dr Lea as lead" in last
    assert "finds the core" in last
    assert "signed" in last
    assert "head " in segpipe("review", "verify")
