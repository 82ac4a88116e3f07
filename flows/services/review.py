"""review: the server of the review among the services of this machine."""

import os
from pathlib import Path

from segpipe.approval.protocol import protocol_file
from segpipe.tools.reviewing.extra import describe_missing

NAME = "review"
PORT = 8010
ADDRESS = "SEGPIPE_REVIEW_URL"  # where readers reach it, such as that of a proxy


def build_words(port: int) -> list[str]:
    """The command, after ``python -m``; people log in to the server itself."""
    return ["segpipe", "review", "serve", "--port", str(port)]


def describe_lack(root: Path) -> str | None:
    """Why the server is not started, and the mend; None if it is to be started."""
    if not protocol_file(root).is_file():
        return "not started: `segpipe review init` writes review.yaml, which it needs"
    missing = describe_missing()
    return missing and f"not started: {missing}"


def address_for_readers() -> str:
    """Where readers reach the server: SEGPIPE_REVIEW_URL, or else this machine."""
    return (os.environ.get(ADDRESS) or f"http://127.0.0.1:{PORT}").rstrip("/")
