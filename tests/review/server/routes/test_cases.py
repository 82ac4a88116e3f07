"""The page of a case shows what is said, escaped, and nothing of what is hidden."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segpipe.approval.protocol import write_protocol
from tests.support.dossiers import SECRETS
from tests.support.readers import Review, member, open_review, send, served


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    with served(open_review(tmp_path, items=2)) as review:
        review.add("jane")
        yield review


def test_what_was_said_is_shown_again_and_may_be_changed(review: Review) -> None:
    client = member(review, "jane")
    said = {"score-B-2": "none", "comment-1": "thin", "artefact-1": "yes"}
    assert send(client, review.item(), **review.ratings(**said)) == 303
    page = client.get(review.item()).text

    assert page.count(" selected>4 as it is") == 5
    assert page.count(" selected>cannot judge") == 1
    assert page.count(" checked>") == 1
    assert 'value="thin"' in page


def test_a_form_that_is_not_whole_comes_back_filled(review: Review) -> None:
    client = member(review, "jane")
    csrf = {"csrf": client.get("/").text.split('name="csrf" value="')[1].split('"')[0]}
    fields = review.ratings(**{"score-C-2": "", "comment-2": "so far"})
    answer = client.post(review.item(), data={**fields, **csrf})

    assert answer.status_code == 422
    assert "Not rated yet: C spot &lt;b&gt;." in answer.text
    assert answer.text.count(" selected>4 as it is") == 5
    assert 'value="so far"' in answer.text
    assert "2 of 2 cases are left" in client.get("/").text


def test_links_open_the_case_elsewhere_by_its_opaque_id_alone(review: Review) -> None:
    client = member(review, "jane")
    assert "Open in" not in client.get(review.item()).text
    path = write_protocol(review.root)
    text = path.read_text().replace(
        "slicer: null", "slicer: 'slicer://x/?a=\"&c={case}'"
    )
    path.write_text(text.replace("ohif: null", "ohif: 'https://ohif.lab/{case}'"))
    page = client.get(review.item()).text
    item = review.volume.dossier.items[0].id

    assert f'href="slicer://x/?a=&#34;&amp;c={item}"' in page
    assert f'href="https://ohif.lab/{item}"' in page
    assert page.count('rel="noopener noreferrer">Open in ') == 2


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}"]
)
def test_script_in_a_comment_or_a_name_is_text(review: Review, text: str) -> None:
    client = member(review, "jane")
    assert send(client, review.item(), **review.ratings(**{"comment-1": text})) == 303
    pages = [client.get(p).text for p in (review.item(), f"{review.address}/sign")]

    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "49" not in page.split("<title>")[1].split("</title>")[0]
        assert "spot &lt;b&gt;" in page
        assert "spot <b>" not in page


def test_pages_and_files_before_the_decision_say_nothing_hidden(
    review: Review,
) -> None:
    client = member(review, "jane")
    answers = [client.get("/"), client.get(review.item())]
    answers += [
        client.get(f"{review.item()}/{name}")
        for name in ("image.nii.gz", "A.nii.gz", "B.nii.gz", "C.nii.gz", "montage.png")
    ]

    for answer in answers:
        assert answer.status_code == 200
        everything = f"{answer.url} {answer.headers} {answer.text}"
        assert not [secret for secret in SECRETS if secret in everything]
        assert "last-modified" not in answer.headers  # the order of writing is a hint
        assert "content-disposition" not in answer.headers
