"""The folders of a project."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass(frozen=True)
class Paths:
    """Where a project keeps its files.

    Attributes:
        root: The folder with params.yaml and dvc.yaml.
    """

    root: Path

    @property
    def params(self) -> Path:
        """The file with every value that can change a result."""
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The raw, immutable data set, tracked by data.dvc."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """The outputs of the stages, one folder each."""
        return self.root / "artifacts"

    @property
    def pins(self) -> Path:
        """The pinned versions of the packages whose numbers end up in results."""
        return self.root / "requirements-numerics.lock"

    @property
    def cache(self) -> Path:
        """Finished cases by fingerprint; can be pruned."""
        return self.root / ".cache"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints of interrupted trainings; can be pruned.

        SEGPIPE_CHECKPOINTS names another folder, such as one that workers share.
        """
        elsewhere = os.environ.get("SEGPIPE_CHECKPOINTS")
        return Path(elsewhere) if elsewhere else self.root / ".checkpoints"

    @property
    def store(self) -> Path:
        """MLflow's database: the project's runs and registered segmenters."""
        return self.root / "mlflow.db"

    @property
    def store_files(self) -> Path:
        """The files of the runs and segmenters in the store, beside it."""
        return self.root / "mlartifacts"


def sqlite_uri(file: Path) -> str:
    """Address of a database in a file, whatever characters are in its path.

    In the short form, SQLAlchemy takes what follows a ``?`` for options. The driver is
    named because MLflow would create folders for the file of another address.
    """
    if "?" not in str(file):
        return f"sqlite:///{file}"
    return f"sqlite+pysqlite:///file:{quote(str(file))}?uri=true"


def sqlite_file(uri: str) -> Path:
    """The file of a database, from its address as ``sqlite_uri`` writes it."""
    place = uri.partition("://")[2].removeprefix("/")
    if not place.startswith("file:"):
        return Path(place)
    return Path(unquote(place.removeprefix("file:").partition("?")[0]))
