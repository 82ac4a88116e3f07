"""Check JPEG frames before gdcm decodes them: it ends the process on damaged ones.

Only lossless and 12-bit JPEG are checked, which gdcm alone decodes.
"""

import re
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

CHECKED_SYNTAXES = (JPEGLossless, JPEGLosslessSV1, JPEGExtended12Bit)
LOSSLESS, EXTENDED = 0xC3, 0xC1  # start of frame: ITU-T T.81, table B.1
TABLES, SCAN = 0xC4, 0xDA
HARMLESS = {0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # quantization, restart, comments
# In the coded data a marker is a restart, or a stuffed zero: section B.1.1.5.
STRANGE_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
LARGEST_DIFFERENCE = 16  # bits: section H.1.2.2


def jpeg_fault(dataset: Dataset) -> str | None:
    """What is wrong with the first damaged frame, in words; None if all are valid."""
    count = int(dataset.get("NumberOfFrames") or 1)
    size = (int(dataset.Rows), int(dataset.Columns))
    for frame in generate_frames(dataset.PixelData, number_of_frames=count):
        try:
            fault = _frame_fault(frame, size, int(dataset.BitsAllocated))
        except IndexError:
            fault = "a JPEG header that is cut off"
        if fault is not None:
            return fault
    return None


def _frame_fault(data: bytes, size: tuple[int, int], bits: int) -> str | None:
    tables: set[int] = set()
    start = None
    for marker, segment, coded in _segments(data):
        if marker in (LOSSLESS, EXTENDED) and start is None:
            start = marker
            found = (_word(segment, 1), _word(segment, 3))
            if found != size or not 2 <= segment[0] <= bits or len(segment) != 9:
                return f"a JPEG frame of {found} pixels of {segment[0]} bits"
        elif marker == TABLES and start is not None:
            if not _valid_tables(segment, tables, lossless=start == LOSSLESS):
                return "a JPEG with a damaged code table"
        elif marker == SCAN and start is not None:
            if not _valid_scan(segment, tables, lossless=start == LOSSLESS):
                return "a JPEG with a damaged scan header"
            return _coded_fault(data[coded:])
        elif marker not in HARMLESS:
            return "a JPEG of another process"
    return "a JPEG without pixels"


def _word(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of each segment of a header: section B.1.1.4."""
    place = 2 if data[:2] == b"\xff\xd8" else len(data)
    while place < len(data):
        end = place + 2 + _word(data, place + 2)
        marker = data[place + 1] if data[place] == 0xFF else 0
        yield marker, data[place + 4 : end], end
        place = max(end, place + 4)


def _valid_tables(segment: bytes, tables: set[int], *, lossless: bool) -> bool:
    """Whether the Huffman tables are valid; adds their numbers to the set."""
    place = 0
    while place < len(segment):
        number, counts = segment[place], segment[place + 1 : place + 17]
        values = segment[place + 17 : place + 17 + sum(counts)]
        place += 17 + sum(counts)
        room = 1.0 - sum(n * 2.0 ** -(1 + bits) for bits, n in enumerate(counts))
        whole = len(counts) == 16 and len(values) == sum(counts) <= 256
        if not whole or room < 0 or number & 0xEF > 3:
            return False
        if lossless and max(values, default=0) > LARGEST_DIFFERENCE:
            return False
        tables.add(number)
    return True


def _valid_scan(segment: bytes, tables: set[int], *, lossless: bool) -> bool:
    """Whether the scan has one component with known tables: section B.2.3."""
    if len(segment) != 6 or segment[0] != 1:
        return False
    direct, alternating = segment[2] >> 4, segment[2] & 15 | 16
    if lossless:
        return direct in tables and 1 <= segment[3] <= 7 and segment[4] == 0
    return {direct, alternating} <= tables and (segment[3], segment[4]) == (0, 63)


def _coded_fault(coded: bytes) -> str | None:
    coded = coded.rstrip(b"\0")  # padding to an even length
    if not coded.endswith(b"\xff\xd9") or STRANGE_MARKER.search(coded[:-2]):
        return "a JPEG that is cut off or damaged"
    return None
