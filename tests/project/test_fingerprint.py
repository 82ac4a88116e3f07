import re

from segpipe.project import fingerprint as module
from segpipe.project.fingerprint import digest_json, fingerprint


def test_a_fingerprint_is_the_same_for_the_same_and_differs_otherwise() -> None:
    module = "segpipe.images.grid"

    first = fingerprint(module, lr=0.1, files=["a", "b"])

    assert first == fingerprint(module, files=["a", "b"], lr=0.1)
    assert first != fingerprint(module, lr=0.2, files=["a", "b"])
    assert first != fingerprint("segpipe.images.volume", lr=0.1, files=["a", "b"])
    assert re.fullmatch("[0-9a-f]{64}", first)


def test_the_order_of_keys_says_nothing() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})


def test_another_version_of_a_package_is_another_fingerprint(monkeypatch) -> None:
    before = fingerprint("segpipe.images.grid")
    monkeypatch.setattr(module, "_versions", lambda: {"edt": "0"})

    assert fingerprint("segpipe.images.grid") != before


def test_all_packages_whose_versions_count_are_installed() -> None:
    versions = module._versions()

    assert set(versions) == set(module.NUMERICS)
    assert "+" not in versions["torch"]
