"""Border-weight maps: ours against one full-image distance transform an instance.

python -m benchmarks.border_weights
"""

import numpy as np
from scipy import ndimage

from benchmarks.timing import compare, last_line, ratios
from segpipe.borders import border_weights

W0, SIGMA = 10.0, 5.0
ONES = (1.0, 1.0, 1.0)
WORKS = (
    ("512 x 512, 120 cells", (512, 512, 1), 120, (10, 22)),
    ("128 x 128 x 128, 200 cells", (128, 128, 128), 200, (5, 11)),
)


def draw_cells(
    shape: tuple[int, int, int], count: int, radii: tuple[int, int]
) -> np.ndarray:
    """Balls at random places; a later one fills only what is free."""
    rng = np.random.default_rng(0)
    where = np.indices(shape)
    cells = np.zeros(shape, dtype=np.int32)
    number = 0
    while number < count:
        center = rng.integers(0, shape).reshape(3, 1, 1, 1)
        ball = ((where - center) ** 2).sum(axis=0) < rng.uniform(*radii) ** 2
        free = ball & (cells == 0)
        if free.sum() > 10:
            number += 1
            cells[free] = number
    return cells


def straightforward(cells: np.ndarray) -> np.ndarray:
    """The formula to the letter, keeping the two smallest distances as it goes."""
    plane = cells[:, :, 0] if cells.shape[2] == 1 else cells
    nearest = np.full(plane.shape, np.inf)
    second = nearest.copy()
    for number in np.unique(plane):
        if number:
            distance = ndimage.distance_transform_edt(plane != number)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    weights = W0 * np.exp(-((nearest + second) ** 2) / (2 * SIGMA**2))
    return np.where(plane == 0, weights, 0).reshape(cells.shape)


def main() -> None:
    """Print the table; the last line is the smaller of the two ratios."""
    print(f"{'':28}{'ours':>10}{'peer':>10}{'ratio':>8}{'largest difference':>22}")
    worst = None
    for name, shape, count, radii in WORKS:
        cells = draw_cells(shape, count, radii)

        def ours(cells: np.ndarray = cells) -> np.ndarray:
            flat = cells.shape[2] == 1
            return border_weights(
                cells,
                w0=W0,
                sigma=SIGMA,
                spacing=ONES,
                dimensions=2 if flat else 3,
                domain="background",
            )

        def peer(cells: np.ndarray = cells) -> np.ndarray:
            return straightforward(cells)

        difference = float(np.abs(ours() - peer()).max())
        assert difference < 1e-5, difference
        times = compare(ours, peer, rounds=3)
        found = ratios(*times)
        middle = sorted(found)[1]
        print(
            f"{name:28}{min(times[0]):9.3f}s{min(times[1]):9.2f}s{middle:8.1f}"
            f"{difference:22.1e}"
        )
        if worst is None or middle < sorted(worst)[1]:
            worst = found
    assert worst is not None
    print(last_line("border_weights", worst))


if __name__ == "__main__":
    main()
