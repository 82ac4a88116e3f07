"""sizes: the page of the arithmetic of convolutions, with worked examples."""

from docs.tables.words import OURS, row, rules_of, sizes_in_words
from segpipe.networks.arithmetic import (
    Window,
    convolved_size,
    receptive_field,
    transposed_size,
)

PARAGRAPHS = (
    "# Sizes",
    "How large the output of a layer is, how much of the image it sees, and which "
    "patches a network therefore takes. `python -m docs.tables` computes all numbers "
    "of this page with `segpipe/networks/arithmetic.py`.",
    "## One layer",
    "Along an axis, with size H, kernel k, stride s, padding p on each side, and "
    "dilation d, with which the kernel covers d (k - 1) + 1 places:",
    "| layer | size of its output |\n"
    "| --- | --- |\n"
    "| convolution, pooling | floor((H - (d (k - 1) + 1) + 2 p) / s) + 1 |\n"
    "| transposed convolution | (H - 1) s + d (k - 1) + 1 - 2 p + output padding |",
    "Several sizes have the same size after a convolution of stride s; the output "
    "padding, from 0 to s - 1, says which one is meant. A transposed convolution "
    "restores sizes, not values.",
)
EXAMPLES = (
    (5, Window(3, 2)),
    (5, Window(3)),
    (6, Window(3, 2)),
    (4, Window(2, 2)),
    (7, Window(3, 1, 1)),
    (9, Window(3, 1, 2, 2)),
    (224, Window(7, 2, 3)),
)
VGG = (2, 2, 3, 3, 3)  # convolutions of a stage


def sizes_page() -> str:
    """The text of docs/concepts/sizes.md."""
    lines = ["\n\n".join(PARAGRAPHS), ""]
    columns = ("before", "k", "s", "p", "d", "after", "transposed, back to")
    lines += [row(*columns), row(*["---"] * len(columns))]
    lines += [_example(size, window) for size, window in EXAMPLES]
    lines += ["", *_fields(), "", *_networks()]
    return "\n".join([*lines, ""])


def _example(size: int, window: Window) -> str:
    after = convolved_size(size, window)
    back = transposed_size(after, window)
    text = f"{back}" if back == size else f"{back}, with output padding {size - back}"
    numbers = (window.kernel, window.stride, window.padding, window.dilation)
    return row(str(size), *map(str, numbers), str(after), text)


def _fields() -> list[str]:
    """How a receptive field grows, layer by layer."""
    stacks = {
        "eight convolutions of 3": [Window(3)] * 8,
        "VGG16 to its last pooling": _vgg(),
        "VGG16 to fc7, as FCN has it": [*_vgg(), Window(7)],
        "dilations 1, 1, 2, 4, 8, 16, 1": [
            Window(3, dilation=d) for d in (1, 1, 2, 4, 8, 16, 1)
        ],
    }
    lines = [
        "## A stack of layers",
        "",
        "Each layer adds (k - 1) d steps of all layers before it; a step is the "
        "product of their strides.",
        "",
        row("layers", "an output sees", "step between two outputs"),
        row("---", "---", "---"),
    ]
    return lines + [
        row(name, *map(str, receptive_field(windows)))
        for name, windows in stacks.items()
    ]


def _vgg() -> list[Window]:
    return [
        window
        for count in VGG
        for window in [*[Window(3, padding=1)] * count, Window(2, 2)]
    ]


def _networks() -> list[str]:
    """Which patches a network takes, and what comes out."""
    lines = [
        "## Which patches does a network take?",
        "",
        "For m from 1, along each axis; a 2-D network has 1 along the axis of its "
        "slices. `plan` chooses a size that fits, and refuses a `patch_size` that does "
        "not, with the next one that does. An image may have any size: it is cut into "
        "tiles, and mirrored where a tile is larger. What else differs: "
        "[the networks and their papers](../reference/models.md).",
        "",
        row("network", "takes", "smallest", "about 256"),
        row("---", "---", "---", "---"),
    ]
    for name in OURS:
        shown = [
            ", ".join(
                f"{size} gives {rule.output_size(size)}"
                for rule in rules_of(name).values()
                for size in (rule.input_size(near),)
            )
            for near in (1, 256)
        ]
        lines.append(row(f"`{name}`", sizes_in_words(name), *shown))
    return lines
