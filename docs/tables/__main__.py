"""tables: write the pages that are made by code.

`python -m docs.tables`, or `make drawings`.
"""

from pathlib import Path

from docs.tables.models import models_page
from docs.tables.sizes import sizes_page

ROOT = Path(__file__).resolve().parents[2]


def build() -> dict[str, str]:
    """The text of each page, by its path in the project."""
    return {
        "docs/reference/models.md": models_page(ROOT),
        "docs/concepts/sizes.md": sizes_page(),
    }


if __name__ == "__main__":
    for name, text in build().items():
        (ROOT / name).write_text(text, encoding="utf-8")
