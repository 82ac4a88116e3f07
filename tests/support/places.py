"""Where the project and its test tables lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
