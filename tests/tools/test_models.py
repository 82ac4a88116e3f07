"""The table of registered segmenters."""

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import connect
from segpipe.tools.models import models


def test_a_version_a_line_under_its_columns(paths: Paths) -> None:
    client, _ = connect(paths)
    for name in ("liver", "kidney"):
        client.create_registered_model(name)
    tags = {
        "segpipe.model": "vnet",
        "segpipe.data": "0123456789abcdef.dir",
        "git.commit": "fedcba9876543210",
        "git.dirty": "true",
        "test/dice": "0.91249",
        "test/iou": "0.8",
        "test/pa": "0.99",
        "review.status": "pending",
    }
    client.create_model_version("liver", str(paths.root), None, tags=tags)
    client.create_model_version("liver", str(paths.root), None)  # somebody else's
    client.create_model_version("kidney", str(paths.root), None, tags=tags)
    client.set_registered_model_alias("liver", "champion", "1")
    client.set_registered_model_alias("liver", "candidate", "1")

    lines = models(None, paths)

    assert lines[0].split() == [
        *("name", "version", "aliases", "model", "Dice", "IoU", "PA"),
        *("data", "commit", "made", "(UTC)", "review"),
    ]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["kidney", "1"],
        ["liver", "2"],
        ["liver", "1"],
    ]
    words = lines[3].split()
    assert words[2:10] == [
        *("candidate,", "champion", "vnet", "0.912", "0.800", "0.990"),
        *("01234567", "fedcba98+"),
    ]
    assert words[-1] == "pending"
    assert lines[2].split()[2:9] == ["-"] * 7
    assert len(models("liver", paths)) == 3


def test_where_nothing_is_registered_it_says_how_to(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"found none; `segpipe register MODEL` adds"):
        models(None, paths)
