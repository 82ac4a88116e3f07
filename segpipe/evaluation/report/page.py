"""Page: the report as one HTML file, and the files of its pictures."""

import base64
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from segpipe.project.documents import write_bytes, write_text

SUMMARY, CASES = "report", "cases"  # names of pictures

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { --ink:#1b2733; --soft:#5b6875; --line:#e3e8ed; --paper:#fff; --tint:#f5f7f9;
  --accent:#0072B2 }
* { box-sizing:border-box }
body { margin:0; background:var(--tint); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif }
main { max-width:1080px; margin:0 auto; padding:40px 24px 80px }
h1 { font-size:2rem; line-height:1.2; margin:0 0 .3em; letter-spacing:-.01em }
h2 { font-size:1.2rem; margin:0 0 .6em }
p { margin:.3em 0 .9em; max-width:70ch } .soft { color:var(--soft); font-size:.9rem }
section { background:var(--paper); border:1px solid var(--line); border-radius:12px;
  padding:24px 28px; margin:20px 0; break-inside:avoid }
.cards { display:grid; grid-template-columns:repeat(auto-fit,minmax(190px,1fr));
  gap:16px; margin:24px 0 }
.card { background:var(--paper); border:1px solid var(--line); border-radius:12px;
  padding:16px 20px } .card b { display:block; font-size:1.9rem; line-height:1.2;
  font-variant-numeric:tabular-nums } .card.best { border-color:var(--accent);
  box-shadow:inset 0 3px 0 var(--accent) }
.wide { overflow-x:auto } table { border-collapse:collapse; width:100%;
  font-variant-numeric:tabular-nums } th,td { padding:7px 12px; text-align:right;
  border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child,td:first-child { text-align:left } thead th { color:var(--soft);
  font-weight:600; border-bottom:2px solid var(--line) } td.best { font-weight:700;
  color:var(--accent) } tr.part td { font-weight:600; background:var(--tint);
  color:var(--soft); font-size:.85rem } td.failed { color:#b3261e; font-weight:700 }
img { display:block; width:100%; height:auto; margin:6px 0 } footer { color:var(--soft);
  font-size:.85rem; margin-top:28px }
@media print { body { background:#fff } main { max-width:none; padding:0 } }
@media (max-width:600px) { section { padding:16px } main { padding:20px 12px } }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
<div class="cards">
{% for card in cards %}<div class="card{{ ' best' if card.best }}"><span class="soft">
{{- card.name }}</span><b>{{ card.value }}</b><span class="soft">{{ card.note }}</span>
</div>
{% endfor %}</div>
{% for part in parts %}<section>
<h2>{{ part.heading }}</h2>
{% if part.text %}<p class="soft">{{ part.text }}</p>
{% endif %}{% if part.table %}<div class="wide"><table>
<thead><tr>{% for name in part.table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
</thead><tbody>
{% for row in part.table.rows %}{% if row.cells|length == 1 %}<tr class="part"><td
 colspan="{{ part.table.columns|length }}">{{ row.cells[0] }}</td></tr>
{% else %}<tr>{% for cell in row.cells %}<td
{%- if loop.index0 in row.best %} class="best"
{%- elif loop.index0 in row.failed %} class="failed"{% endif %}>{{ cell }}</td>
{%- endfor %}</tr>
{% endif %}{% endfor %}</tbody></table></div>
{% endif %}{% for picture in part.pictures %}<img alt="{{ picture.words }}" src="data:
{{- 'image/png;base64,' + picture.base64 }}">
{% endfor %}</section>
{% endfor %}<footer>{{ footer }}</footer>
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Card:
    """A figure in large print at the top of the page."""

    name: str
    value: str
    note: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; a row with one cell is a heading of the rows after it.

    Attributes:
        cells: Texts of the cells.
        best: Places of the cells that are marked as best.
        failed: Places of the cells that are marked as failed.
    """

    cells: tuple[str, ...]
    best: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """Columns and rows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Picture:
    """A PNG, its name, and a description for readers who cannot see it."""

    name: str
    png: bytes
    words: str

    @property
    def base64(self) -> str:
        """The PNG encoded for the page."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    heading: str
    text: str = ""
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()


def page_file(artifacts: Path) -> Path:
    """The file of the page."""
    return artifacts / "report" / "index.html"


def picture_file(artifacts: Path, name: str) -> Path:
    """The file of a picture of the page, by the name of the picture."""
    return artifacts / "report" / f"{name}.png"


def write_report(
    artifacts: Path, page: str, parts: Sequence[Part], summary: bytes
) -> None:
    """Write the page and its pictures in place of earlier ones.

    Args:
        artifacts: Folder of all stages.
        page: The HTML document.
        parts: Sections of the page; each of their pictures becomes a file of its own.
        summary: PNG of the whole report in one picture.
    """
    shutil.rmtree(page_file(artifacts).parent, ignore_errors=True)
    write_text(page_file(artifacts), page)
    write_bytes(picture_file(artifacts, SUMMARY), summary)
    for part in parts:
        for picture in part.pictures:
            write_bytes(picture_file(artifacts, picture.name), picture.png)


def build_page(
    title: str, subtitle: str, cards: list[Card], parts: list[Part], footer: str
) -> str:
    """Render the page as one HTML document that loads nothing else."""
    content: dict[str, Any] = {
        "title": title,
        "subtitle": subtitle,
        "cards": cards,
        "parts": parts,
        "footer": footer,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(TEMPLATE).render(content)
