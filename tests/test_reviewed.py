"""From a candidate to the champion, as people do it, on real cases.

A browser, an MLflow server, a Prefect server with a worker, and the commands.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from ruamel.yaml import YAML

from flows.deployments.deployments import install
from segpipe.approval import keys
from segpipe.approval.chain.verification import verify
from segpipe.approval.records import Decision, Reading
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE
from segpipe.project.paths import Paths
from segpipe.registry.versions import find_alias
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.dossier import Key, Shown, read_key
from segpipe.review.shelf import open_volume
from segpipe.tools.study.files import describe_study, files_of_segpipe
from tests.support.acceptance import TRIALS, param_of, segpipe, train_two
from tests.support.browser import browser
from tests.support.readers import Review, served
from tests.support.reviewed import register_fold
from tests.support.reviews import CHEAP, password_of, write_policy
from tests.support.screens import BLUE, LOADS_MS, ORANGE, axial, pixels, tinted
from tests.support.servers import mlflow_server, prefect_worker, wait_until

pytestmark = pytest.mark.slow
PEOPLE = {
    "ann": "admin",
    "lea": "lead",
    "rob": "reader",
    "ray": "reader",
    "ida": "adjudicator",
}
# More random cases than patients: all of them are read, the worst one once.
POLICY = {"worst": "1", "random": "30", "repeats_fraction": "0.0", "controls": "1"}
TESTED = 3
CHAMPION = "poor/0/segmenter"
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"
SMALL = {"width": 1000, "height": 600}
POOL = "reviewed"  # in the pool cpu wait runs that other tests left


@dataclass(frozen=True)
class Servers:
    """Addresses of MLflow and Prefect, and the log of Prefect's worker."""

    mlflow: str
    prefect: str
    log: Path


@pytest.fixture(scope="module")
def servers(
    prefect_api: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """The same for all data sets."""
    home = tmp_path_factory.mktemp("servers")
    with (
        mlflow_server(home / "mlflow") as url,
        prefect_worker(prefect_api, POOL, POOL, home, MLFLOW_TRACKING_URI=url),
    ):
        yield Servers(url, prefect_api, home / f"{POOL}.log")


@pytest.fixture(params=map(param_of, TRIALS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def paths(
    name: str, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Paths:
    """A study with a policy, its people, a champion and a candidate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "COST", CHEAP)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.mlflow)
    monkeypatch.setenv("PREFECT_API_URL", servers.prefect)
    paths = Paths(tmp_path)
    describe_study(name, {}).write(paths.root / FILE)
    train_two(TRIALS[name])
    write_policy(paths.root, **POLICY, cases="2")
    trained = paths.artifacts / "train"
    trainers = {"approval": "required", "trainers": ("tom",)}
    with ThreadPoolExecutor(1) as aside:
        # A context holds the settings of Prefect.
        deployed = aside.submit(copy_context().run, deploy, paths, name)
        register_fold(
            paths, trained / CHAMPION, name=name, alias="champion", **trainers
        )
        if name == "nuclei":  # the command loads it back, which takes ten seconds
            fold = trained / "good/0/segmenter"
            register_fold(paths, fold, name=name, alias="candidate", **trainers)
        else:
            segpipe("register", "good", "--name", name, "--trained-by", "tom")
        for person, role in PEOPLE.items():
            add_person(paths, person, role)
        deployed.result()
    return paths


def add_person(paths: Paths, person: str, role: str) -> None:
    file = paths.root / f"{person}.password"
    file.write_text(password_of(person))
    file.chmod(0o600)
    words = ["--printed-name", f"Dr {person.title()}", "--role", role]
    words += ["--password-file", f"{person}.password"]
    if person != "ann":
        words += ["--by", "ann", "--by-password-file", "ann.password"]
    segpipe("review", "users", "add", person, *words)


def deploy(paths: Paths, name: str) -> None:
    """The deployment promote of the study alone, in a pool of its own."""
    yaml = YAML()
    document = yaml.load(files_of_segpipe(name)["prefect.yaml"])
    (promote,) = (
        one for one in document["deployments"] if "promote" in one["entrypoint"]
    )
    promote["work_pool"]["name"] = POOL
    document["deployments"] = [promote]
    with (paths.root / "prefect.yaml").open("w") as file:
        yaml.dump(document, file)
    install(paths.root, "prefect.yaml")


def by(person: str) -> list[str]:
    return ["--as", person, "--password-file", f"{person}.password"]


def log_in(chromium: Browser, review: Review, person: str, *, webgl: bool) -> Page:
    page = chromium.new_context(viewport=SMALL).new_page()
    if not webgl:
        page.add_init_script(NO_WEBGL)  # the montage is enough, and quicker
    page.goto(review.url)
    page.locator("#name").fill(person)
    page.locator("#password").fill(password_of(person))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    return page


def read_all(
    chromium: Browser, review: Review, key: Key, person: str, *, webgl: bool = False
) -> None:
    """Rate each case: 1 what was spoilt, 2 where ray finds more than rob, else 4."""
    page = log_in(chromium, review, person, webgl=webgl)
    page.locator("a.main").first.click()
    while "/items/" in page.url:
        item = page.url.rpartition("/")[2]
        page.wait_for_selector(f'body[data-shown*="{item}"]', timeout=LOADS_MS)
        shown = key.items[item]
        if webgl:
            look(page, review, item, shown)
        for letter, source in shown.letters.items():
            score = "4"
            if source == "candidate" and shown.fault is not None:
                score = "1"
            elif source == "candidate" and person == "ray":
                score = "2"
            for structure in review.volume.dossier.structures:
                field = f"#score-{letter}-{structure.value}"
                page.locator(field).select_option(score)
        page.locator("#store").click()
        page.wait_for_url(lambda url, item=item: not url.endswith(item))
    page.locator("#password").fill(password_of(person))
    page.locator("main button.main").click()
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    page.context.close()


def look(page: Page, review: Review, item: str, shown: Shown) -> None:
    """Compare the pixels of the canvas with the reference as nibabel reads it.

    Volumes are seen from the feet, the patient's right at the left, where the letter R
    stands; a picture is shown as it is stored, column by row, without letters.
    """
    (letter,) = (one for one, source in shown.letters.items() if source == "reference")
    place = review.volume.folder / f"items/{item}/{letter}.nii.gz"
    mask = np.asarray(nib.load(place).dataobj)
    k = int(np.argmax((mask > 0).sum(axis=(0, 1))))
    flat = review.volume.dossier.unit == "px"
    page.keyboard.press(letter.lower())
    axial(page)
    page.evaluate("(k) => viewer.go([0, 0, k])", k)
    image = pixels(page)
    page.evaluate("viewer.nv.setIsOrientationTextVisible(false)")
    bare = pixels(page)
    page.evaluate("(on) => viewer.nv.setIsOrientationTextVisible(on)", not flat)

    values = [one.value for one in review.volume.dossier.structures]
    for value, colour in zip(values, (ORANGE, BLUE), strict=False):
        plane = mask[:, :, k] == value
        drawn = plane.T if flat else plane[::-1, ::-1].T
        seen = tinted(bare, colour)
        assert likeness(seen, drawn) > 0.8, (item, value)
        turned = drawn[:, ::-1]
        if not np.array_equal(cut(drawn), cut(turned)):  # a ball is its own mirror
            assert likeness(seen, drawn) > likeness(seen, turned) + 0.02
    assert letters(image, bare) == ("" if flat else "RL")


def likeness(seen: np.ndarray, drawn: np.ndarray) -> float:
    """Intersection over union of two shapes that are cut to their boxes."""
    seen, drawn = cut(seen), cut(drawn)
    size = (seen.shape[1], seen.shape[0])
    drawn = np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.NEAREST))
    return float((seen & drawn).sum() / (seen | drawn).sum())


def cut(shape: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(shape)
    return shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def letters(image: np.ndarray, bare: np.ndarray) -> str:
    """The letters at the left and right edge, R or L: an L has no ink at the top right.

    Args:
        image: The canvas, row by column.
        bare: The same without letters.
    """
    ink = np.abs(image - bare).max(axis=2) > 100
    rows, columns = ink.shape
    middle = ink[rows // 4 : 3 * rows // 4]
    found = ""
    for side in (middle[:, : columns // 3], middle[:, -columns // 3 :]):
        if side.any():
            glyph = cut(side)
            height, width = glyph.shape
            top_right = glyph[: height // 2, width // 2 :]
            found += "R" if top_right.mean() > 0.1 else "L"
    return found


def decide_as_the_lead(chromium: Browser, review: Review) -> None:
    page = log_in(chromium, review, "lea", webgl=False)
    page.goto(f"{review.url}{review.address}/decide")
    page.locator('input[name="decision"][value="approve"]').check()
    page.locator('input[name="promote"]').check()
    page.locator('[name="reason"]').fill("every random case is acceptable")
    page.locator("#password").fill(password_of("lea"))
    page.locator("main button.main").click()
    page.wait_for_url("**/lead")
    page.context.close()


def test_a_candidate_becomes_the_champion_by_what_people_signed(
    paths: Paths, name: str, servers: Servers
) -> None:
    with pytest.raises(DataError, match="no record decides about the segmenter"):
        segpipe("promote", "2", "--name", name, "--why", "better", *by("lea"))

    folder = Path(segpipe("review", "build", "2", "--name", name).splitlines()[-1])
    key = read_key(folder)
    assert "rob" in segpipe("review", "assign", str(folder))
    database = open_database(address_of(paths))
    with (
        browser() as chromium,
        served(Review(database, open_volume(folder), paths.root)) as review,
    ):
        read_all(chromium, review, key, "rob", webgl=True)
        read_all(chromium, review, key, "ray")
        # They disagree on what ray rated 2, so ida has that to read and nothing else.
        read_all(chromium, review, key, "ida")
        decide_as_the_lead(chromium, review)
    # The event, the automation, the deployment and the worker do the rest.
    wait_until(
        lambda: champion(name, paths) == "2", 90, what="the flow", log=servers.log
    )
    image = next((paths.data / "imagesTr").iterdir())
    uri = f"models:/{name}@champion"
    segpipe("segment", uri, str(image), "--output", "out", "--device", "cpu")

    chain = verify(paths.root)
    assert not chain.faults
    kinds = Counter(one.content.kind for one in chain.records)
    items = len(key.items)
    assert kinds["enrolment"] == len(PEOPLE)
    assert kinds["reading"] == 2 * items
    # "Promote at once" stands in the decision, and the flow signs nothing.
    assert (kinds["decision"], kinds["promotion"]) == (1, 0)
    decided = next(
        one.content for one in chain.records if isinstance(one.content, Decision)
    )
    assert set(decided.cases) == set(key.items)
    spoilt = [one for one in key.items.values() if one.fault is not None]
    assert (items, len(spoilt)) == (TESTED + 1, 1)
    assert sum(one.belongs_to("worst") for one in key.items.values()) == 1
    assert kinds["adjudication"] == items - len(spoilt)
    assert len(decided.readings) == kinds["reading"] + kinds["adjudication"]
    read = [one for one in chain.records if isinstance(one.content, Reading)]
    assert {one.printed_name for one in read} == {"Dr Rob", "Dr Ray"}
    (manifest,) = Path("out").glob("*.json")
    mask = manifest.with_name(f"{manifest.stem}.{image.name.partition('.')[2]}")
    assert decided.subject.segmenter in segpipe("lineage", str(mask))
    last = segpipe("history", name).splitlines()[-1]
    assert "Dr Lea as lead" in last
    assert "every random case is acceptable" in last
    assert "signed" in last
    assert "head " in segpipe("review", "verify")


def champion(name: str, paths: Paths) -> str | None:
    found = find_alias(name, "champion", paths)
    return None if found is None else found.version
