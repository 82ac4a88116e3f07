"""A case that the data hold already is known by all that was drawn in it."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from tests.support.sources import box, write_observers, write_png

EYES = ImportOptions(
    images="{case}.png", labels="{case}_{observer}.png", reference="1stHO"
)


def test_another_drawing_of_an_observer_is_other_content(tmp_path: Path) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    write_observers(source)
    import_dataset(source, data, EYES)
    add = ImportOptions(**{**vars(EYES), "add": True})

    assert "all 4 cases" in import_dataset(source, data, add)
    write_png(source / "2R_2ndHO.png", box(1, 9, shape=(12, 10, 1)))
    with pytest.raises(DataError, match=r"2R \(in .*observers/2ndHO/2R\.png\)"):
        import_dataset(source, data, add)
