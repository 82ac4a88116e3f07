"""Rows of boxes, each with a shaft that stops at other rows, as SVG.

All sizes follow from the rows. The same rows give the same text.
"""

import colorsys
import math
import textwrap
from dataclasses import dataclass, field
from html import escape

WIDTH, EDGE, GAP = 900, 28, 9  # of the picture; its margin; between boxes
RIGHT, TEXT = 632, 128  # right edge of boxes; from their left edge to their text
SHAFTS = (658, 868)  # first and last shaft
ROOF, CARD = 34, 4  # height of a gable; from one card of a matrix to the next
FONT, LETTER = 11, 6.7  # small font; width of its letters
SENTENCE = 6.7  # width of a letter of a sentence, rather too wide than too narrow
LIGHT = {
    "paper": "#fcfbf8",
    "box": "#ffffff",
    "line": "#d3d6d6",
    "quiet": "#64717d",
    "ink": "#1f2d3a",
    "guest": "#9a3412",
}
DARK = {
    "paper": "#11161c",
    "box": "#1a222b",
    "line": "#3a4652",
    "quiet": "#9aa7b3",
    "ink": "#e6ebf0",
    "guest": "#fdba74",
}


@dataclass(frozen=True)
class Word:
    """A word in a box.

    Attributes:
        text: The word.
        kind: "plain", "key", or the kind of its frame: "folder", "guest", "section".
        guests: Libraries that are at home in a folder, shown in its frame.
    """

    text: str
    kind: str = "plain"
    guests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A box with its shaft.

    Attributes:
        name: Name of the room, stage or input.
        below: What stands below the name.
        text: What it is, in one sentence.
        lines: Words in the box, wrapped where the box is too narrow for them.
        stops: Rows at which the shaft stops, with the weight of each stop.
        shape: "box", "roof", "slim", or "quiet" for what all other rows need.
        cards: Cards behind the box: one for each dimension of a matrix.
    """

    name: str
    below: str
    text: str
    lines: tuple[tuple[Word, ...], ...] = ()
    stops: dict[str, int] = field(default_factory=dict)
    shape: str = "box"
    cards: int = 0


def draw(title: str, subtitle: str, legend: dict[str, str], rows: list[Row]) -> str:
    """The rows from top to bottom.

    Args:
        title: Heading.
        subtitle: Line below the heading.
        legend: What each sign means: "ring", "dot" and kinds of words.
        rows: What is drawn; names are different.

    Returns:
        Text of an SVG file, for light and dark mode.
    """
    boxes, spans, y = [], [], 86.0
    for place, row in enumerate(rows):
        y += ROOF * (row.shape == "roof")
        words, bottom = _draw_words(row, y)
        boxes += [*_draw_box(row, place, y, bottom - y), *words]
        spans.append((y, bottom))
        y = bottom + GAP + CARD * row.cards
    height = math.ceil(y - GAP + EDGE)
    middles = [(top + bottom) / 2 for top, bottom in spans]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}: {escape(subtitle)}</title>",
        f"<style>{_style(len(rows))}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="10"/>',
        _text(EDGE, 44, title, "title"),
        _text(EDGE, 65, subtitle, "sentence quiet"),
        *_draw_legend(legend),
        *_draw_needs(rows, middles),
        *_draw_shafts(rows, middles),
        *boxes,
        *_draw_ground(rows, y - GAP),
        "</svg>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _draw_words(row: Row, top: float) -> tuple[list[str], float]:
    """What is written in a box, and where the box ends."""
    left, right, y = float(EDGE + TEXT), RIGHT - 12, top + 23
    parts = [_text(EDGE + 15, y, row.name, "name")]
    if row.below:
        parts.append(_text(EDGE + 15, y + 18, row.below, "small quiet"))
    for line in textwrap.wrap(row.text, int((right - left) / SENTENCE)):
        parts.append(_text(left, y, line, "sentence"))
        y += 16
    for words in row.lines:
        x, start, y = left, left, y + 5
        for word in words:
            width = _width(word)
            if x + width > right and x > start:
                x, y = start, y + 21
            parts += _draw_word(word, x, y)
            x += width + 9
            if word.kind == "key":
                x = start = left + 6 * LETTER + 9
        y += 16
    ends = y - 16 + 12 if row.text or row.lines else 0
    return parts, max(ends, top + (50 if row.below else 34))


def _width(word: Word) -> float:
    letters = sum(len(text) + 1 for text in (word.text, *word.guests)) - 1
    return letters * LETTER + (0 if word.kind in {"plain", "key"} else 14)


def _draw_word(word: Word, x: float, y: float) -> list[str]:
    if word.kind in {"plain", "key"}:
        return [_text(x, y, word.text, f"small {word.kind}")]
    width = _width(word)
    guests = " ".join(word.guests)
    return [
        f'<rect class="frame {word.kind}" x="{x:.1f}" y="{y - 12.5:.1f}" '
        f'width="{width:.1f}" height="17" rx="8.5"/>',
        _text(x + 7, y, word.text, f"small {word.kind}-text"),
        _text(x + width - 7, y, guests, "small guest-text end") if guests else "",
    ]


def _draw_box(row: Row, place: int, top: float, height: float) -> list[str]:
    kind = "needed" if row.shape == "quiet" else "box"
    size = f'width="{RIGHT - EDGE}" height="{height:.1f}" rx="5"'
    cards = [
        f'<rect class="{kind}" x="{EDGE + CARD * card}" y="{top + CARD * card:.1f}" '
        f"{size}/>"
        for card in range(row.cards, -1, -1)
    ]
    if row.shape == "quiet":
        return cards
    if row.shape == "roof":
        eaves, ridge = f"{top:.1f}", f"{(EDGE + RIGHT) / 2:.1f},{top - ROOF:.1f}"
        points = f"{EDGE - 14},{eaves} {ridge} {RIGHT + 14},{eaves}"
        cards.insert(0, f'<polygon class="roof stroke{place}" points="{points}"/>')
    stripe = f'x="{EDGE}" y="{top:.1f}" width="5" height="{height:.1f}" rx="2"'
    return [*cards, f'<rect class="fill{place}" {stripe}/>']


def _draw_shafts(rows: list[Row], middles: list[float]) -> list[str]:
    """A line from each row's ring, with a dot at each row at which it stops."""
    places = {row.name: place for place, row in enumerate(rows)}
    owners = [row for row in rows if row.stops]
    step = (SHAFTS[1] - SHAFTS[0]) / max(len(owners) - 1, 1)
    columns = {row.name: SHAFTS[0] + step * k for k, row in enumerate(owners)}
    floors, shafts, marks = [], [], []
    for row, y in zip(rows, middles, strict=True):
        ends = [columns[o.name] for o in owners if o is row or row.name in o.stops]
        if ends:
            floors.append(_line((RIGHT + CARD * row.cards, y), (max(ends), y), "floor"))
    for row in owners:
        place, x = places[row.name], columns[row.name]
        stops = {places[stop]: weight for stop, weight in row.stops.items()}
        y, end = middles[place], middles[max(stops)]
        shafts.append(_line((x, y), (x, end), f"shaft stroke{place}"))
        marks.append(_circle(x, y, 5, f"ring stroke{place}"))
        marks += [
            _circle(x, middles[stop], 3 + math.log2(weight) / 2, f"fill{place}")
            for stop, weight in sorted(stops.items())
        ]
    return floors + shafts + marks


def _draw_needs(rows: list[Row], middles: list[float]) -> list[str]:
    """A dashed line beside the boxes, from what all of them need."""
    if all(row.shape != "quiet" for row in rows):
        return []
    x = EDGE - 13
    ends = [y for row, y in zip(rows, middles, strict=True) if row.shape != "slim"]
    return [
        _line((x, ends[0]), (x, ends[-1]), "dashed"),
        *(_line((x, y), (EDGE, y), "dashed") for y in ends),
    ]


def _draw_ground(rows: list[Row], y: float) -> list[str]:
    """The ground under a house, which has a roof."""
    ends = (EDGE - 14, y + 1), (RIGHT + 14, y + 1)
    return [_line(*ends, "ground") for row in rows if row.shape == "roof"]


def _draw_legend(legend: dict[str, str]) -> list[str]:
    parts, y = [], 44
    for sign, text in legend.items():
        x = WIDTH - EDGE - 172
        if sign == "ring":
            parts.append(_circle(x - 13, y - 4, 5, "ring legend"))
        elif sign == "dot":
            parts.append(_circle(x - 13, y - 4, 3.5, "legend-dot"))
        else:
            parts.append(
                f'<rect class="frame {sign}" x="{x - 24}" y="{y - 10}" width="22" '
                'height="12" rx="6"/>'
            )
        parts.append(_text(x + 4, y, text, "sentence quiet"))
        y += 19
    return parts


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _line(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{kind}" {ends}/>'


def _circle(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def _style(rows: int) -> str:
    """Fonts, colours of light mode, colours of dark mode."""
    mono = "ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace"
    sans = "system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif"
    fonts = (
        f"text{{font-family:{mono}}}.title,.sentence{{font-family:{sans}}}"
        f".title{{font-size:24px;font-weight:600}}.small{{font-size:{FONT}px}}"
        ".sentence{font-size:12.5px}.name{font-size:15px;font-weight:700}"
        ".shaft,.roof,.ground{stroke-width:2}.ring{stroke-width:2.5}.end{text-anchor:end}.roof{stroke-linejoin:round}"
        ".dashed,.needed,.guest{stroke-dasharray:3 3}.frame,.needed{fill:none}"
    )
    light, dark = _colours(LIGHT, rows, 0.42), _colours(DARK, rows, 0.68)
    return f"{fonts}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _colours(colours: dict[str, str], rows: int, lightness: float) -> str:
    text = (
        ".paper,.ring,.roof{{fill:{paper}}}text{{fill:{ink}}}"
        ".quiet,.plain,.key{{fill:{quiet}}}.box{{fill:{box};stroke:{line}}}"
        ".floor{{stroke:{line}}}.dashed,.needed,.ground,.legend,.frame{{stroke:{quiet}}}"
        ".legend-dot{{fill:{quiet}}}.guest{{stroke:{guest}}}"
        ".guest-text{{fill:{guest}}}"
    ).format(**colours)
    for row in range(rows):
        hue = (0.56 + 0.52 * row / rows) % 1
        red, green, blue = (
            round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 0.42)
        )
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        text += f".fill{row}{{fill:{colour}}}.stroke{row}{{stroke:{colour}}}"
    return text
