"""Command: the line that a person types for some options of the import."""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.reading.vocabulary import format_structures

# Options of the command line whose name is not that of their field.
SINGULAR = {
    "channel_suffixes": "--channel-suffix",
    "channels": "--channel",
    "structures": "--structure",
}


def format_command(source: Path, data: Path, options: ImportOptions) -> str:
    """The command that imports with these options, for a shell."""
    words = ["segpipe", "import", str(source)]
    if str(data) != "data":
        words.append(str(data))
    default = ImportOptions()
    for one in fields(ImportOptions):
        value = getattr(options, one.name)
        if value == getattr(default, one.name):
            continue
        option = SINGULAR.get(one.name, "--" + one.name.replace("_", "-"))
        words += _words(option, value)
    return shlex.join(words)


def _words(option: str, value: Any) -> list[str]:
    if value is True:
        return [option]
    if option == "--structure":
        texts = format_structures(value)
    elif option == "--spacing-mm":
        texts = [",".join(f"{size:g}" for size in value)]
    elif isinstance(value, tuple):
        texts = list(value)
    else:
        texts = [f"{value:g}" if isinstance(value, float) else str(value)]
    return [word for text in texts for word in (option, text)]
