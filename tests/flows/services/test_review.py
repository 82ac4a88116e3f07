"""The review is started where it can be, and otherwise it is said how to get it."""

from pathlib import Path

import pytest
import yaml

from flows.services.review import (
    ADDRESS,
    PORT,
    address_for_readers,
    build_words,
    describe_lack,
)
from segpipe.approval.protocol import write_protocol
from segpipe.tools.reviewing import extra
from tests.support.places import ROOT


def test_without_review_yaml_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    assert "`segpipe review init` writes review.yaml" in str(describe_lack(tmp_path))

    write_protocol(tmp_path)
    assert describe_lack(tmp_path) is None


def test_without_the_extra_it_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_protocol(tmp_path)
    monkeypatch.setitem(extra.PACKAGES, "argon3", "argon3")

    lack = str(describe_lack(tmp_path))

    assert lack.startswith("not started: the review needs argon3")
    assert "`pip install 'segpipe[review]'`" in lack


def test_readers_are_sent_to_the_address_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGPIPE_REVIEW_URL", "")
    assert address_for_readers() == "http://127.0.0.1:8010"

    monkeypatch.setenv("SEGPIPE_REVIEW_URL", "https://review.example.org/")
    assert address_for_readers() == "https://review.example.org"


def test_systemd_and_kubernetes_start_what_make_serve_starts() -> None:
    unit = (ROOT / "docs" / "systemd" / "segpipe-review.service").read_text()
    manifest = (ROOT / "docs" / "kubernetes" / "review.yaml").read_text()
    pod, proxy, service = yaml.safe_load_all(manifest)
    review, caddy = pod["spec"]["template"]["spec"]["containers"]
    names = {each["name"]: each["value"] for each in review["env"]}
    words = ["python", "-m", *build_words(PORT)]

    assert f"/{' '.join(words)}\n" in unit
    assert review["command"] == words
    assert pod["spec"]["replicas"] == 1
    assert f"reverse_proxy 127.0.0.1:{PORT}\n" in proxy["data"]["Caddyfile"]
    assert proxy["data"]["Caddyfile"].startswith(f"{names['SEGPIPE_HOSTS']} {{")
    assert names[ADDRESS] == f"https://{names['SEGPIPE_HOSTS']}"
    assert service["spec"]["selector"] == pod["spec"]["selector"]["matchLabels"]
    assert caddy["ports"][0]["name"] == service["spec"]["ports"][0]["targetPort"]
