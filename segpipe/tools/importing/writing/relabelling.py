"""Put other label maps in the place of those in data/, all of them or none."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from segpipe.images.formats.files import read_label, write_label
from segpipe.tools.importing.writing.cases import compact
from segpipe.tools.importing.writing.ledger import (
    LedgerLine,
    read_ledger,
    write_ledger,
)
from segpipe.tools.importing.writing.replacing import (
    check_layout,
    link_existing,
    replaced,
    sole_import,
)


@dataclass(frozen=True, eq=False)
class NewLabel:
    """Another label map of a case.

    Attributes:
        file: Place of the label map in data/.
        source: The file that takes its place, in the same format.
        instances: Place of the case's instances in data/, and their new ids; none
            without instances.
        line: The line of the ledger.
    """

    file: str
    source: Path
    instances: tuple[str, Integer[np.ndarray, "i j k"]] | None
    line: LedgerLine


def replace_labels(data: Path, labels: Sequence[NewLabel]) -> None:
    """Replace label maps of cases in data/; a process that is killed changes nothing.

    Raises:
        DataError: If another import is at work, or the layout would have faults.
    """
    with sole_import(data), replaced(data) as part:
        link_existing(data, part)
        for name in ("dataset.json", "patients.csv"):
            if (data / name).is_file():
                shutil.copy2(data / name, part / name)
        for one in labels:
            (part / one.file).unlink()  # the link alone
            shutil.copyfile(one.source, part / one.file)
            if one.instances is not None:
                file, ids = one.instances
                (part / file).unlink()
                write_label(part / file, compact(ids), read_label(data / file).grid)
        lines = [one.line for one in labels]
        write_ledger(part, [*read_ledger(data), *lines])
        check_layout(part)
