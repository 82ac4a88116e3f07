"""Every link of every page leads somewhere, and every page can be reached."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.places import ROOT

TRACKED = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
    capture_output=True,
    check=True,
    text=True,
).stdout.splitlines()
PAGES = sorted(
    ROOT / name for name in TRACKED if name.endswith(".md") and (ROOT / name).is_file()
)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links_of(page: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a page links to; addresses elsewhere are left out."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in LINK.findall(text) if "://" not in link]
    parts = [link.partition("#") for link in links]
    return [
        ((page.parent / path).resolve() if path else page, a) for path, _, a in parts
    ]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for goal, anchor in links_of(page):
        assert goal.exists(), f"{goal} is not there"
        assert not anchor or anchor in anchors_of(goal), f"{goal} has no #{anchor}"


def test_every_page_of_docs_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    reached, todo = {index}, [index]
    while todo:
        for goal, _ in links_of(todo.pop()):
            if goal.suffix == ".md" and goal not in reached:
                reached.add(goal)
                todo.append(goal)

    assert {page for page in PAGES if "docs" in page.relative_to(ROOT).parts} <= reached


def test_the_index_is_reached_from_the_readme() -> None:
    assert ROOT / "docs" / "index.md" in {
        goal for goal, _ in links_of(ROOT / "README.md")
    }


def test_a_page_that_a_file_names_is_there() -> None:
    """Errors, comments and presets name pages by their path from the root."""
    missing = [
        f"{name} names {page}"
        for name in TRACKED
        if name.endswith((".py", ".yaml", ".toml")) and (ROOT / name).is_file()
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", (ROOT / name).read_text())
        if "NAME" not in page and not (ROOT / page).is_file()
    ]

    assert not missing


def test_the_tests_that_answer_a_pain_are_there() -> None:
    page = (ROOT / "docs" / "decisions" / "0007-pains.md").read_text(encoding="utf-8")
    tests = "".join(
        f"{name}\n{(ROOT / name).read_text(encoding='utf-8')}"
        for name in TRACKED
        if name.startswith("tests/")
        and name.endswith(".py")
        and (ROOT / name).is_file()
    )

    missing = [
        name
        for name in re.findall(r"\btest_\w+\b", page)
        if f"def {name}(" not in tests and f"/{name}.py" not in tests
    ]
    assert not missing
