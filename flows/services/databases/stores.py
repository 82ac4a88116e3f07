"""stores: the databases of the servers, which stay the ones that were chosen first.

MLflow's is the project's own, in which commands write without a server, too. Earlier
the server had another one in .services/mlflow; it takes the place of the
project's own if only one of them holds anything.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths, sqlite_uri

log = logging.getLogger(__name__)
VARIABLES = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "MLFLOW_BACKEND_STORE_URI",
    "SEGPIPE_REVIEW_DATABASE",
)
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}  # to install


class Stores(Document):
    """The databases that were chosen, by variable, without user and password."""

    chosen: dict[str, str]


def keep_stores(folder: Path) -> None:
    """Remember databases that the environment names, and refuse a start without them.

    Without its variable, a server would begin anew with an empty database.

    Args:
        folder: Folder of the services' data.

    Raises:
        DataError: If a database was chosen at an earlier start and is not named now,
            or if a driver is not installed.
    """
    file = folder / "stores.json"
    known = Stores.read(file).chosen if file.is_file() else {}
    named = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    for name, place in known.items():
        if name not in named:
            raise DataError(
                f"{name}: expected the database {place} that an earlier start chose, "
                f"found no variable; set it, or delete {file} to begin with an empty "
                "database"
            )
    chosen = {name: _described(name, address) for name, address in named.items()}
    if chosen != known:
        Stores(chosen=chosen).write(file)


def choose_store(root: Path, folder: Path) -> tuple[str, Path]:
    """MLFLOW_BACKEND_STORE_URI of the server, and the folder of its runs' files.

    Args:
        root: The project's folder; its own store is the default.
        folder: Folder of the services' data, with the files of a chosen database.
    """
    chosen = os.environ.get("MLFLOW_BACKEND_STORE_URI")
    if chosen:
        return chosen, folder / "mlflow" / "artifacts"
    own = Paths(root)
    return sqlite_uri(own.store), own.store_files


def adopt_store(root: Path, folder: Path, *, running: bool) -> None:
    """Let the store that older versions kept for the server become the project's own.

    Steps: move the files of its runs, then the database; a start that is killed between
    them is completed by the next one.

    Args:
        root: The project's folder.
        folder: Folder of the services' data.
        running: Whether the MLflow server runs, which then keeps the store it has.

    Raises:
        DataError: If both stores hold runs or registered segmenters.
    """
    old, own = folder / "mlflow" / "mlflow.db", Paths(root)
    if os.environ.get("MLFLOW_BACKEND_STORE_URI") or not _holds_something(old):
        return
    if running:
        log.warning(
            "mlflow: keeps the store of an older segpipe, %s, as long as it runs; "
            "`make stop`, then `make serve` take it over",
            old,
        )
        return
    if _holds_something(own.store):
        raise DataError(
            f"{old}: expected one store of runs, found runs there, as an older segpipe "
            f"kept them, and others in {own.store}; move the folder {old.parent} "
            "elsewhere to go on with the latter, or set "
            f"MLFLOW_BACKEND_STORE_URI='{sqlite_uri(old)}' at each `make serve` to go "
            "on with the former"
        )
    log.info("mlflow: the store of an older segpipe, %s, becomes %s", old, own.store)
    files = old.parent / "artifacts"
    own.store_files.mkdir(exist_ok=True)
    for entry in sorted(files.iterdir()) if files.is_dir() else ():
        entry.rename(own.store_files / entry.name)
    old.replace(own.store)


def _holds_something(database: Path) -> bool:
    """Whether an MLflow database holds runs or registered models.

    Opening it also completes what a server that was killed left half-written.
    """
    if not database.is_file():
        return False
    with closing(sqlite3.connect(database)) as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        known = {name for (name,) in tables}
        return any(
            store.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608
            for table in {"runs", "registered_models"} & known
        )


def _described(name: str, address: str) -> str:
    """Kind, host and name of a database whose driver is installed."""
    if "://" not in address or address.startswith(("http", "file:")):
        return address
    try:
        url = make_url(address)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError) as error:
        raise DataError(
            f"{name}: expected KIND://USER:PASSWORD@HOST/DB, found another text; "
            "docs/how-to/servers.md has an example"
        ) from error
    except ModuleNotFoundError as error:
        raise DataError(
            f"{name}: expected the driver of the database, found no module "
            f"{error.name}; install it: `pip install "
            f"'{DRIVERS.get(str(error.name), error.name)}'`"
        ) from error
    return f"{url.drivername}://{url.host or ''}/{url.database or ''}"
