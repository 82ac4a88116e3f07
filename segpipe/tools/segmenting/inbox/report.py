"""The report on an inbox: outcomes in sentences and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.inbox import Inbox
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.manifest import Manifest, manifest_path

ROWS = 300  # of a table at most; volumes.csv has all
NAMES = 10  # in a sentence at most

Row = dict[str, str | float]


@dataclass(frozen=True)
class InboxReport:
    """Report on an inbox.

    Attributes:
        order: Segmenter, settings and output.
        inbox: The sorted studies.
        outcomes: Outcomes of the cases that were tried, in their order.
    """

    order: Order
    inbox: Inbox
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> list[Outcome]:
        """Outcomes of the cases that failed in this run."""
        return [outcome for outcome in self.outcomes if outcome.failed]

    def headline(self) -> str:
        """One sentence: the counts, and the names of failed cases."""
        done = sum(outcome.kind == "done" for outcome in self.outcomes)
        parts = [f"{done} segmented"]
        if self.failed:
            names = ", ".join(outcome.case for outcome in self.failed[:NAMES])
            more = ", …" if len(self.failed) > NAMES else ""
            count = f"{len(self.failed)} of {len(self.outcomes)} failed"
            parts.insert(0, f"{count}: {names}{more}")
        before = len(self.inbox.finished)
        before += sum(outcome.kind == "finished" for outcome in self.outcomes)
        elsewhere = sum(outcome.kind == "elsewhere" for outcome in self.outcomes)
        others = {
            "finished before": before,
            "known failures": len(self.inbox.known),
            "in another run": elsewhere,
            "still being written": len(self.inbox.growing),
        }
        parts += [f"{count} {what}" for what, count in others.items() if count]
        return "; ".join(parts)

    def results(self) -> list[Row]:
        """One row per case that was segmented in this run."""
        done = [outcome for outcome in self.outcomes if outcome.kind == "done"]
        rows = [self._result(outcome) for outcome in done[:ROWS]]
        return _with_rest(rows, len(done))

    def failures(self) -> list[Row]:
        """One row per case that failed, now or before, with the reason and the mend."""
        rows: list[Row] = [
            {
                "case": outcome.case,
                "since": "now",
                "kind": outcome.kind,
                "reason": outcome.reason,
            }
            for outcome in self.failed
        ]
        rows += [
            {
                "case": failure.case,
                "since": failure.made,
                "kind": failure.kind,
                "reason": failure.reason,
            }
            for failure in self.inbox.known
        ]
        return _with_rest(rows[:ROWS], len(rows))

    def summary(self) -> str:
        """Markdown: the headline, the folder of the results and the segmenter."""
        record, output = self.order.record, self.order.output
        version = f", version {record.version}" if record.version else ""
        return (
            f"{self.headline()}.\n\n"
            f"- results: `{output}`\n"
            f"- volumes of all cases: `{output}/volumes.csv`\n"
            f"- segmenter: {record.name}{version}, {len(record.folds)} folds, digest "
            f"`{record.digest}`\n"
            f"- settings: `{self.order.settings.model_dump_json()}`\n"
        )

    def _result(self, outcome: Outcome) -> Row:
        row: Row = {"case": outcome.case, "seconds": round(outcome.seconds, 1)}
        try:
            manifest = Manifest.read(
                manifest_path(Path(self.order.output), outcome.case)
            )
        except DataError:
            return row  # the result was moved already
        in_ml = bool(manifest.volumes_ml)
        unit = "ml" if in_ml else "voxels"
        volumes = manifest.volumes_ml if in_ml else manifest.voxels
        row |= {f"{name} {unit}": round(size, 2) for name, size in volumes.items()}
        row["warnings"] = "; ".join(manifest.warnings)
        return row


def _with_rest(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows, and a last one with the number of rows left out."""
    rest = count - len(rows)
    return [*rows, {"case": f"and {rest} more"}] if rest else [*rows]
