"""One Prefect server for all flow tests of a process."""

from collections.abc import Iterator

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)

from tests.support.servers import prefect_server


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server; what runs in this process talks to it."""
    home = tmp_path_factory.mktemp("prefect")
    with (
        prefect_server(home) as api,
        temporary_settings(
            {
                PREFECT_API_URL: api,
                PREFECT_HOME: str(home),
                # It costs a second at the end of each flow; the zombie test sets it.
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            }
        ),
    ):
        yield api
