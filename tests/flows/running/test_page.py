"""Tags are added, not replaced."""

import base64
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.running.page import show_picture, tag_run


@pytest.mark.usefixtures("prefect_api")
def test_later_tags_leave_earlier_ones() -> None:
    @flow
    def tagged() -> str:
        tag_run("one")
        tag_run("two", "three")
        return str(flow_run.id)

    run = tagged()

    with get_client(sync_client=True) as client:
        assert set(client.read_flow_run(run).tags) == {"one", "two", "three"}


def test_outside_of_a_flow_run_nothing_happens() -> None:
    tag_run("one")


@pytest.mark.usefixtures("prefect_api")
def test_a_picture_comes_back_byte_by_byte_and_a_missing_one_is_no_error(
    tmp_path: Path,
) -> None:
    file = tmp_path / "plot.png"
    file.write_bytes(b"\x89PNG and more")

    @flow
    def shows() -> None:
        show_picture(file, key="plot", description="a plot")
        show_picture(tmp_path / "none.png", key="none", description="no plot")

    shows()

    with get_client(sync_client=True) as client:
        wanted = {"artifacts": {"key": {"any_": ["plot", "none"]}}}
        (found,) = client._client.post("/artifacts/filter", json=wanted).json()
    head, content = found["data"].split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == file.read_bytes()
