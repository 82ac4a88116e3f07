"""What the UI gets is the file itself."""

import base64
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from flows.pictures import show_picture


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
