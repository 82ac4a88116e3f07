"""Arithmetic of convolutions and poolings: sizes of outputs, and receptive fields."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A convolution, transposed convolution or pooling along one axis.

    Attributes:
        kernel: Elements of the kernel, or of the pooling window.
        stride: Steps between two windows; of a transposed convolution, steps in its
            output.
        padding: Zeros on each side; a transposed convolution drops as many.
        dilation: Steps between two elements of the kernel.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def extent(self) -> int:
        """Elements from the first to the last that the window covers, d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1


def convolved_size(size: int, window: Window, *, ceil: bool = False) -> int:
    """Size after a convolution or pooling, floor((H - k + 2 p) / s) + 1.

    Args:
        size: Size H of the input.
        window: The window; its extent stands for the kernel k.
        ceil: Round up instead, as Caffe's pooling does: the last window may reach
            beyond the padding, but must begin before its end.

    Source:
        Dumoulin 2016, arXiv:1603.07285, relationship 6; for ceil, Caffe's pooling.
    """
    room = size - window.extent + 2 * window.padding
    if not ceil:
        return room // window.stride + 1
    found = -(-room // window.stride) + 1
    beyond = (found - 1) * window.stride >= size + window.padding
    return found - 1 if beyond else found


def transposed_size(size: int, window: Window, *, output_padding: int = 0) -> int:
    """Size after a transposed convolution, (H - 1) s + (k - 1) - 2 p + 1.

    Args:
        size: Size H of the input.
        window: The window; its extent stands for the kernel k.
        output_padding: Elements added at the end, from 0 to s - 1: several sizes have
            the same size after a convolution of stride s, and this says which one is
            meant.

    Source:
        Dumoulin 2016, arXiv:1603.07285, relationship 14.
    """
    spread = (size - 1) * window.stride + window.extent
    return spread - 2 * window.padding + output_padding


def receptive_field(windows: Sequence[Window]) -> tuple[int, int]:
    """Elements of the input that one output sees, and the step between two outputs.

    Each window adds (k - 1) steps of all the windows before it.
    """
    field, step = 1, 1
    for window in windows:
        field += (window.extent - 1) * step
        step *= window.stride
    return field, step
