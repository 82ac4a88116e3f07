"""focal: the focal loss of one voxel by the probability of what is true, as SVG."""

import torch

from docs.drawings.picture import DARK, LIGHT
from segpipe.training.losses import focal

GAMMAS = (0.0, 0.5, 1.0, 2.0, 5.0)  # those of figure 1 of arXiv:1708.02002
COLOURS = ("#1d4ed8", "#0f766e", "#b45309", "#be123c", "#7c3aed")
WIDTH, HEIGHT, EDGE = 560, 340, 48
HIGHEST = 5.0  # largest loss that is shown


def curve(gamma: float, shares: list[float]) -> list[float]:
    """The loss of segpipe for each probability of the true class of two."""
    losses = []
    for share in shares:
        odds = torch.logit(torch.tensor(share, dtype=torch.float64)).float()
        logits = torch.stack([torch.zeros(()), odds]).view(1, 2, 1, 1, 1)
        one = torch.ones(1, 1, 1, 1)
        cost = focal(logits, one.long(), one, gamma=gamma, alpha=1.0, reduction="sum")
        losses.append(float(cost))
    return losses


def draw_focal() -> str:
    """The picture: a curve for each gamma; that of 0 is the cross-entropy."""
    shares = [number / 100 for number in range(1, 100)]
    lines = []
    for gamma, colour in zip(GAMMAS, COLOURS, strict=True):
        places = [
            f"{_across(share):.1f},{_up(loss):.1f}"
            for share, loss in zip(shares, curve(gamma, shares), strict=True)
            if loss <= HIGHEST
        ]
        lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(places)}"/>'
        )
    for place, (gamma, colour) in enumerate(zip(GAMMAS, COLOURS, strict=True)):
        name = "gamma 0: cross-entropy" if gamma == 0 else f"gamma {gamma:g}"
        lines.append(
            f'<text x="{WIDTH - 190}" y="{EDGE + 18 * place}" fill="{colour}">'
            f"{name}</text>"
        )
    return "\n".join([*_frame(), *lines, "</svg>", ""])


def _frame() -> list[str]:
    """Style, axes and their numbers."""
    style = (
        "text{font:12px sans-serif}"
        f".paper{{fill:{LIGHT['paper']}}}.ink{{fill:{LIGHT['quiet']}}}"
        f".axis{{stroke:{LIGHT['line']}}}"
        "@media (prefers-color-scheme:dark){"
        f".paper{{fill:{DARK['paper']}}}.ink{{fill:{DARK['quiet']}}}"
        f".axis{{stroke:{DARK['line']}}}}}"
    )
    title = "Focal loss of one voxel by the probability of its class"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img"><title>{title}</title><style>{style}</style>',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    for number in range(6):
        up = _up(number)
        parts.append(
            f'<line class="axis" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{up:.1f}" '
            f'y2="{up:.1f}"/>'
            f'<text class="ink" x="{EDGE - 16}" y="{up + 4:.1f}">{number}</text>'
            f'<text class="ink" x="{_across(number / 5) - 8:.1f}" '
            f'y="{HEIGHT - EDGE + 18}">{number / 5:g}</text>'
        )
    middle = f'x="{WIDTH / 2 - 110:g}" y="{HEIGHT - 8}"'
    parts.append(f'<text class="ink" {middle}>probability of the true class</text>')
    return parts


def _across(share: float) -> float:
    return EDGE + share * (WIDTH - 2 * EDGE)


def _up(loss: float) -> float:
    return HEIGHT - EDGE - loss / HIGHEST * (HEIGHT - 2 * EDGE)
