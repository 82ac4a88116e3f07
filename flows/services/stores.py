"""stores: the databases of the servers, which stay the ones that were chosen first."""

import os
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from segpipe.project.documents import Document
from segpipe.project.errors import DataError

VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "MLFLOW_BACKEND_STORE_URI")


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
            f"{error.name}; install it, for PostgreSQL with `pip install "
            "psycopg2-binary`"
        ) from error
    return f"{url.drivername}://{url.host or ''}/{url.database or ''}"
