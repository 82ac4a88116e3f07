"""drawings: write house.svg, chain.svg and focal.svg in docs/concepts.

`python -m docs.drawings`, or `make drawings`.
"""

from pathlib import Path

from docs.drawings.chain import read_chain
from docs.drawings.focal import draw_focal
from docs.drawings.house import read_house
from docs.drawings.picture import draw

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "concepts"


def build() -> dict[str, str]:
    """The text of each drawing, by file name."""
    house = draw(
        "The house",
        "segpipe/ and flows/: imports run downstairs only",
        {
            "ring": "a room",
            "dot": "a room that it imports",
            "folder": "a folder and its modules",
            "guest": "a guest library in its room",
        },
        read_house(ROOT),
    )
    chain = draw(
        "The chain",
        "dvc.yaml: what each stage reads and writes in artifacts/",
        {
            "ring": "what a stage writes",
            "dot": "a stage that reads it",
            "section": "a section of params.yaml",
            "needed": "what every stage reads",
        },
        read_chain(ROOT),
    )
    return {"house.svg": house, "chain.svg": chain, "focal.svg": draw_focal()}


if __name__ == "__main__":
    for name, svg in build().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
