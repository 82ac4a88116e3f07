"""Page: the report as one HTML file, and the files of its pictures."""

import base64
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from segpipe.evaluation.report.pictures.script import SCRIPT, STYLE
from segpipe.project.documents import write_bytes, write_text

SUMMARY, CASES = "report", "cases"  # names of pictures
KEY, FIGURES = "key.csv", "figures.csv"  # files beside the page

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
main { max-width:1240px; margin:0 auto; padding:40px 24px 80px }
h1 { font-size:2rem; line-height:1.2; margin:0 0 .3em; letter-spacing:-.01em }
h2 { font-size:1.2rem; margin:0 0 .6em }
p { margin:.3em 0 .9em; max-width:70ch } .soft { color:var(--soft); font-size:.9rem }
section { background:var(--paper); border:1px solid var(--line); border-radius:12px;
  padding:24px 28px; margin:20px 0 }
.cards { display:grid; grid-template-columns:repeat(auto-fit,minmax(190px,1fr));
  gap:16px; margin:24px 0 }
.card { background:var(--paper); border:1px solid var(--line); border-radius:12px;
  padding:16px 20px } .card b { display:block; font-size:1.9rem; line-height:1.2;
  font-variant-numeric:tabular-nums } .card.best { border-color:var(--accent);
  box-shadow:inset 0 3px 0 var(--accent) }
.wide { overflow-x:auto } table { border-collapse:collapse; width:100%;
  font-variant-numeric:tabular-nums } th,td { padding:7px 12px; text-align:right;
  border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child,td:first-child { text-align:left; position:sticky; left:0;
  background:var(--paper) } thead th { color:var(--soft);
  font-weight:600; border-bottom:2px solid var(--line) } td.best { font-weight:700;
  color:var(--accent) } tr.part td { font-weight:600; background:var(--tint);
  color:var(--soft); font-size:.85rem } .facts { width:auto }
.facts thead { display:none } .facts td { text-align:left; white-space:normal }
td.failed { color:#b3261e; font-weight:700 }
td.failed::after { content:" \N{MULTIPLICATION SIGN}" }
img { display:block; max-width:100%; height:auto; margin:6px 0 }
summary { cursor:pointer; color:var(--accent) }
h3 { font-size:1rem; margin:1.6em 0 .4em } a { color:var(--accent) }
footer { color:var(--soft);
  font-size:.85rem; margin-top:28px }
{{ style }}
@media print { @page { margin:14mm } body { background:#fff; font-size:12px }
  main { max-width:none; padding:0 } section { border:0; padding:0 }
  .wide { overflow:visible } th,td { padding:3px 6px; white-space:normal }
  tr,img,.card,.panel { break-inside:avoid } h2,h3,h2+p { break-after:avoid }
  .columns { grid-template-columns:repeat(auto-fit,minmax(110px,1fr)) } }
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
{% endif %}{% if part.table %}{% if part.table.behind %}<details><summary>
{{- part.table.behind }}</summary>{% endif %}<div class="wide"><table
{%- if not part.table.columns|select|list %} class="facts"{% endif %}>
<thead><tr>{% for name in part.table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
</thead><tbody>
{% for row in part.table.rows %}{% if row.cells|length == 1 %}<tr class="part"><td
 colspan="{{ part.table.columns|length }}">{{ row.cells[0] }}</td></tr>
{% else %}<tr>{% for cell in row.cells %}<td
{%- if loop.index0 in row.best %} class="best"
{%- elif loop.index0 in row.failed %} class="failed"{% endif %}>{{ cell }}</td>
{%- endfor %}</tr>
{% endif %}{% endfor %}</tbody></table></div>{% if part.table.behind %}</details>
{%- endif %}
{% endif %}{% for picture in part.pictures %}<img alt="{{ picture.words }}" src="data:
{{- 'image/png;base64,' + picture.base64 }}">
{% endfor %}{% for panel in part.panels %}{{ panel }}{% endfor %}{% if part.links %}<p>
{%- for name, file in part.links.items() %}<a href="{{ file }}">{{ name }}</a>
{{- ' \N{MIDDLE DOT} ' if not loop.last }}{% endfor %}</p>
{% endif %}</section>
{% endfor %}<footer>{{ footer }}</footer>
</main>
{% if script %}<script>{{ script }}</script>
{% endif %}</body>
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
    """Columns and rows.

    Attributes:
        columns: Names of the columns.
        rows: The rows.
        behind: Words behind which a long table is folded; empty for one in the open.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    behind: str = ""


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
    """A section of the page.

    Attributes:
        heading: Title of the section.
        text: What the reader must know, in sentences.
        table: Figures.
        pictures: Plots.
        panels: Cases to scroll and zoom, as HTML.
        links: Name of a link to the file beside the page to which it leads.
    """

    heading: str
    text: str = ""
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()
    panels: tuple[Markup, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Files:
    """What lies beside the page.

    Attributes:
        summary: PNG of the whole report in one picture.
        pictures: PNG by the name of the picture: the cases that the page shows.
        figures: All figures as CSV.
        key: The pseudonyms of the cases and their names as CSV.
    """

    summary: bytes
    pictures: dict[str, bytes]
    figures: str
    key: str


def page_file(artifacts: Path) -> Path:
    """The file of the page."""
    return artifacts / "report" / "index.html"


def picture_file(artifacts: Path, name: str) -> Path:
    """The file of a picture of the page, by the name of the picture."""
    return artifacts / "report" / f"{name}.png"


def key_file(artifacts: Path) -> Path:
    """The file that names cases and patients, for those who may know them."""
    return page_file(artifacts).with_name(KEY)


def write_report(
    artifacts: Path, page: str, parts: Sequence[Part], files: Files
) -> None:
    """Write the page and the files beside it in place of earlier ones.

    Args:
        artifacts: Folder of all stages.
        page: The HTML document.
        parts: Sections of the page; each of their pictures becomes a file of its own.
        files: What else lies beside the page.
    """
    plots = {one.name: one.png for part in parts for one in part.pictures}
    shutil.rmtree(page_file(artifacts).parent, ignore_errors=True)
    write_text(page_file(artifacts), page)
    write_text(key_file(artifacts), files.key)
    write_text(page_file(artifacts).with_name(FIGURES), files.figures)
    pictures = {SUMMARY: files.summary, **plots, **files.pictures}
    for name, png in pictures.items():
        write_bytes(picture_file(artifacts, name), png)


def build_page(
    title: str, subtitle: str, cards: list[Card], parts: list[Part], footer: str
) -> str:
    """Render the page as one HTML document that loads nothing else."""
    scrolls = any(part.panels for part in parts)
    content: dict[str, Any] = {
        "style": Markup(STYLE if scrolls else ""),  # noqa: S704 (our own)
        "script": Markup(SCRIPT if scrolls else ""),  # noqa: S704 (our own)
        "title": title,
        "subtitle": subtitle,
        "cards": cards,
        "parts": parts,
        "footer": footer,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(TEMPLATE).render(content)
