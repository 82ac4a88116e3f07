"""The lead sees progress, then the summary, and signs a decision with the password."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from segpipe.approval.chain.signing import append
from segpipe.approval.chain.verification import verify
from segpipe.approval.records import Decision
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import find_case
from segpipe.registry.versions import find_version
from tests.support.readers import PASSWORD, Review, hidden_in, member, send, served
from tests.support.stores import add_packed
from tests.support.work import open_work, reading_of, shown

SAID = {"reason": "<b>all</b> are acceptable", "meaning": "fit for use"}


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Review]:
    """A registered version with its dossier, readers and two leads, served once."""
    root = tmp_path_factory.mktemp("lead")
    shutil.copyfile(tables, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        add_packed(Paths(root), 1, trainers=("max",))
        about = find_case("liver", "1", Paths(root)).subject
        items = {"item1": shown(case="<script>alert(1)</script>")}
        made = open_work(
            root, items, segmenter=about.segmenter, trainers=("max",), version="1"
        )
        for name in ("jane", "john", "joe"):
            made.add(name)
        made.add("lea", "lead", reads=False)
        made.add("max", "lead", reads=False)
        with served(made):
            yield made


def page(client: httpx.Client, review: Review, name: str) -> httpx.Response:
    return client.get(f"{review.address}/{name}")


def test_the_lead_decides_once_all_is_signed(review: Review) -> None:
    """One way from the first signature to the decision: each step needs the last."""
    jane, lea = member(review, "jane"), member(review, "lea")
    decide = f"{review.address}/decide"
    for name in ("lead", "decide"):
        assert page(jane, review, name).status_code == 403
    assert send(jane, decide, decision="approve", password=PASSWORD, **SAID) == 403
    before = page(lea, review, "lead")
    assert "2 signatures of readers" in before.text
    assert "Random cases" not in before.text
    assert page(lea, review, "decide").status_code == 409
    assert send(lea, decide, decision="approve", password=PASSWORD, **SAID) == 409

    for name in ("jane", "john"):
        content = reading_of(review.volume, "item1", {"candidate": 4})
        append(content, name, PASSWORD, review.root)
    after = page(lea, review, "lead").text
    assert "0 of 1 random case is not acceptable" in after
    assert "<script>alert" not in after
    assert "Decide" in page(lea, review, "decide").text

    refused = {
        422: {"decision": "reject", "promote": "yes", "password": PASSWORD},
        401: {"decision": "approve", "password": "a wrong password"},
    }
    for status, fields in refused.items():
        assert send(lea, decide, **SAID, **fields) == status
    assert send(lea, decide, decision="approve", reason=" ", password=PASSWORD) == 422
    assert lea.post(decide, data={"decision": "approve"}).status_code == 403  # no token
    # A third reading comes while the form is open: the lead has not seen it.
    form = {**hidden_in(page(lea, review, "decide").text), "decision": "approve"}
    extra = reading_of(review.volume, "item1", {"candidate": 3})
    append(extra, "joe", PASSWORD, review.root)
    late = lea.post(decide, data={**form, **SAID, "password": PASSWORD})
    assert late.status_code == 409
    assert "changed since this page was shown: look again" in late.text
    assert "Dr Joe" in late.text
    assert late.text.count(SAID["meaning"])  # what was written is not lost
    trainer = member(review, "max")
    assert send(trainer, decide, decision="approve", password=PASSWORD, **SAID) == 409
    assert not [
        one for one in verify(review.root).records if isinstance(one.content, Decision)
    ]

    fields = {"decision": "approve", "promote": "yes", "password": PASSWORD}
    assert send(lea, decide, **SAID, **fields) == 303
    record = verify(review.root).require_whole().records[-1]
    assert isinstance(record.content, Decision)
    assert (record.content.promote, record.content.decision) == (True, "approve")
    assert (record.signer, record.role) == ("lea", "lead")
    tags = find_version("liver", "1", Paths(review.root)).tags
    assert tags["review.status"] == "approved"
    shown_now = page(lea, review, "lead").text
    assert "It is approved now: approved by Dr Lea as lead" in shown_now
    assert "&lt;b&gt;all&lt;/b&gt; are acceptable" in shown_now
