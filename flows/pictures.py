"""Pictures: files as artifacts that the UI shows without asking a server for them."""

import base64
from pathlib import Path

from prefect.artifacts import create_image_artifact


def show_picture(file: Path, *, key: str, description: str) -> None:
    """Put a PNG on the run's page; no file, no picture.

    It is kept in Prefect's database: only small ones, and none of a patient.
    """
    if file.is_file():
        content = base64.b64encode(file.read_bytes()).decode()
        create_image_artifact(
            f"data:image/png;base64,{content}", key=key, description=description
        )
