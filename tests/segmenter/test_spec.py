"""The spec says what use needs, and lists the rules that do something."""

from pathlib import Path

from segpipe.segmenter.postprocessing import StructureRule
from segpipe.segmenter.spec import SegmenterSpec, spec_file
from tests.support.segmenters import make_plan, make_segmenter


def test_what_was_written_is_read(tmp_path: Path) -> None:
    spec = make_segmenter(make_plan()).spec
    spec.write(spec_file(tmp_path))

    assert SegmenterSpec.read(tmp_path / "spec.json") == spec


def test_only_rules_that_do_something_are_listed_by_value() -> None:
    none = StructureRule(keep_largest=False, smallest_mm3=0.0, fill_holes=False)
    holes = none.model_copy(update={"fill_holes": True})
    spec = make_segmenter(make_plan()).spec

    assert spec.rules == {}
    changed = spec.model_copy(update={"postprocessing": (none, holes)})
    assert changed.rules == {7: holes}
