"""CaseCache: finished cases of a stage, outside DVC's outs, found by fingerprint.

DVC empties the outs of a stage before it runs; with these, one new case costs one case.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaseCache:
    """A folder with one folder a finished case.

    Attributes:
        folder: ``.cache/STAGE``.
    """

    folder: Path

    def fetch(self, key: str, goal: Path) -> bool:
        """Copy a finished case to where it is wanted, if it is known.

        Copied, not linked: as root, a write through a link would change both.
        """
        entry = self.folder / key
        if not entry.is_dir():
            return False
        shutil.copytree(entry, goal, dirs_exist_ok=True)
        os.utime(entry)  # pruning goes by when an entry was last wanted
        return True

    def store(self, key: str, source: Path) -> None:
        """Keep a copy of a finished case, complete or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        shutil.copytree(source, part, dirs_exist_ok=True)
        try:
            part.rename(self.folder / key)
        except OSError:  # another process was faster: its copy is the same
            shutil.rmtree(part)
