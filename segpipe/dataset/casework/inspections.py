"""Inspections of cases: a case whose files nobody touched is not read again."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segpipe.dataset.casework.digests import DataDigests, Known, keep_digests
from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.inspection import Finding, Limits, inspect_case
from segpipe.dataset.layout import CaseFiles, Dataset
from segpipe.project.documents import parse_json, write_json
from segpipe.project.fingerprint import fingerprint
from segpipe.project.paths import Paths

FINDING = "finding.json"  # in an entry of the cache


@dataclass(frozen=True)
class Question:
    """What is asked of each case; a worker receives it once.

    Attributes:
        dataset: The description of the data set, without its cases and faults.
        limits: What an inspection accepts.
        paths: The project's folders.
        digests: Digests of the files that nobody touched since they were taken.
    """

    dataset: Dataset
    limits: Limits
    paths: Paths
    digests: DataDigests

    @property
    def cache(self) -> CaseCache:
        """The findings of cases without faults."""
        return CaseCache(self.paths.cache / "verify")

    @cached_property
    def _asked(self) -> dict[str, Any]:
        return {"dataset": asdict(self.dataset), "limits": asdict(self.limits)}

    def key_of(self, files: dict[str, str]) -> str:
        """Key of a finding, by the digests of the files of a case."""
        return fingerprint("segpipe.dataset.inspection", files=files, **self._asked)


@dataclass(frozen=True)
class Answer:
    """The finding of a case; state and digest of its files if they were read anew."""

    finding: Finding
    known: dict[str, Known]


def _listed(files: CaseFiles) -> list[str]:
    """All files of a case."""
    instances = filter(None, [files.instances])
    return [*files.images, files.label, *instances, *files.observers.values()]


def recall(question: Question, files: CaseFiles) -> Answer | None:
    """The finding of a case whose files nobody touched; None if there is none."""
    digests: dict[str, str] = {}
    for file in _listed(files):
        digest = question.digests.known_of(file)
        if digest is None:
            return None
        digests[file] = digest
    finding = _recall_finding(question, question.key_of(digests), files)
    return None if finding is None else Answer(finding, {})


def _recall_finding(question: Question, key: str, files: CaseFiles) -> Finding | None:
    kept = question.cache.read(key)
    if kept is None:
        return None
    return Finding.from_json(parse_json(Path(FINDING), kept[FINDING]), files)


def answer(question: Question, files: CaseFiles) -> Answer:
    """Inspect a case, or return the finding of the same files from the cache."""
    taken = {file: question.digests.take(file) for file in _listed(files)}
    key = question.key_of({file: digest for file, (_, digest) in taken.items()})
    finding = _recall_finding(question, key, files)
    if finding is None:
        finding = inspect_case(
            files,
            data=question.paths.data,
            dataset=question.dataset,
            limits=question.limits,
        )
        if not finding.faults:
            with tempfile.TemporaryDirectory() as name:
                write_json(Path(name) / FINDING, finding.to_json())
                question.cache.store(key, Path(name))
    return Answer(finding, taken)


def keep_answers(answers: Sequence[Answer], digests: DataDigests, paths: Paths) -> None:
    """Keep the digests of all files of the cases for the next stages and runs."""
    read = {file: one for answer in answers for file, one in answer.known.items()}
    files = (file for answer in answers for file in _listed(answer.finding.files))
    known = digests.known | read
    kept = {file: known[file] for file in files if file in known}
    if kept != digests.known:
        keep_digests(paths, kept)
