"""build: the dossier of a registered version, from the project's test cases."""

import logging
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from segpipe.approval.protocol import Protocol, protocol_file, read_protocol
from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.case_files import read_case
from segpipe.dataset.split import read_split
from segpipe.evaluation.scores import mean_known
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.origin.commit import data_version, git_tags
from segpipe.project.params import read_section
from segpipe.project.paths import Paths
from segpipe.project.progress import track
from segpipe.registry.gate.champion import CHAMPION
from segpipe.registry.gate.compare import incomparable
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.mlflow_model.provenance import read_provenance
from segpipe.registry.versions import find_alias
from segpipe.review.dossier import (
    Dossier,
    Item,
    Key,
    Shown,
    Structure,
    dossier_folder,
    new_dossier,
    seal,
)
from segpipe.review.items.confidence import confidence
from segpipe.review.items.drawing import Drawn, draw_items
from segpipe.review.items.laying import Table, annotated_share, find_previous
from segpipe.review.items.masks import Masks, Side, segmented
from segpipe.review.items.selection import choose_cases
from segpipe.review.items.volumes import windows_of
from segpipe.review.statistics import rate
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SCHEME
from segpipe.stages.predict import PredictParams

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Work:
    """What a dossier is built from.

    Attributes:
        candidate: The version under review.
        protocol: review.yaml.
        cases: The verified data set.
        compute: Device, precision and threads.
        paths: The project's folders.
    """

    candidate: Side
    protocol: Protocol
    cases: CaseList
    compute: Compute
    paths: Paths

    def segmented(
        self, side: Side | None, names: list[str]
    ) -> AbstractContextManager[Masks]:
        """Find or make the masks of a segmenter."""
        return segmented(
            side, names, self.cases, compute=self.compute, paths=self.paths
        )


def build(uri: str, *, compute: Compute, paths: Paths) -> Path:
    """Write the dossier of a version, for readers.

    The version segments all test cases whose patients it does not know, and evaluate
    compares the label maps; cases are chosen by review.yaml, and the champion segments
    those. What predict and evaluate made of the same segmenter is taken, the rest goes
    through the gate's cache: nothing is segmented twice.

    Args:
        uri: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        compute: Device, precision and threads.
        paths: The project's folders.

    Returns:
        The folder of the dossier.

    Raises:
        DataError: If there is no review.yaml or no such version, a dossier of it
            exists, or it does not fit the project's data.
    """
    protocol, candidate = _read_protocol(paths), _open("candidate", uri, paths)
    cases = read_cases(paths.artifacts)
    if differences := incomparable(cases, candidate.segmenter):
        raise DataError(f"{uri}: {' '.join(differences)}")
    work = Work(candidate, protocol, cases, compute, paths)
    test, known = read_split(paths.artifacts).test, candidate.provenance.knows
    left_out = [name for name in test if known(cases[name].patient)]
    names = [name for name in test if name not in left_out]
    if not names:
        raise DataError(
            f"{paths.artifacts}: expected test cases of patients that {uri} does not "
            f"know, found none among {len(test)}; import cases of other patients"
        )
    registered = candidate.registered
    folder = dossier_folder(paths, registered.name, registered.version)
    with new_dossier(folder) as part:
        champion = _champion(work)
        pages = _lay_all(work, names, champion, part)
        key = Key(
            items={item.id: shown for item, shown in pages},
            random_patients=len({cases[name].patient for name in names}),
            left_out=dict.fromkeys(left_out, "the candidate knows the patient"),
        )
        seal(part, _describe(work, champion, [item for item, _ in pages]), key)
    log.info("review: %s, %d items", folder, len(pages))
    return folder


def _read_protocol(paths: Paths) -> Protocol:
    protocol = read_protocol(paths.root)
    if protocol is None:
        raise DataError(
            f"{protocol_file(paths.root)}: expected how versions are reviewed, found "
            "no file; `segpipe review init` writes one"
        )
    return protocol


def _open(what: str, uri: str, paths: Paths) -> Side:
    if not uri.startswith(SCHEME):
        raise DataError(
            f"{uri}: expected a registered version, {SCHEME}NAME/VERSION or "
            f"{SCHEME}NAME@candidate; `segpipe models` lists them, `segpipe register` "
            "registers a trained model"
        )
    registered = fetch(uri, paths)
    provenance = read_provenance(registered.folder)
    segmenter = Segmenter.ensemble(list(registered.folds))
    side = Side(what, registered, provenance, segmenter)
    if provenance.digest != side.digest:
        raise DataError(
            f"{registered.folder}: expected the provenance of {side.digest[:12]}, "
            f"found that of {provenance.digest[:12]}; register the model again"
        )
    return side


def _champion(work: Work) -> Side | None:
    """The champion to show beside the candidate, if there is one to compare."""
    name = work.candidate.registered.name
    asked = work.protocol.blinding.champion
    if not asked or find_alias(name, CHAMPION, work.paths) is None:
        return None
    champion = _open(CHAMPION, f"{SCHEME}{name}@{CHAMPION}", work.paths)
    if champion.digest == work.candidate.digest:
        return None
    if differences := incomparable(work.cases, champion.segmenter):
        log.warning("the champion is not shown: %s", " ".join(differences))
        return None
    return champion


def _lay_all(
    work: Work, names: list[str], champion: Side | None, part: Path
) -> list[tuple[Item, Shown]]:
    """Segment, draw the items and write their files.

    The champion's mask is left out where it trained on the patient.
    """
    named = work.protocol.previous
    folder = None if named is None else work.paths.root / named
    previous = find_previous(folder, work.cases)
    with work.segmented(work.candidate, names) as ours:
        drawn = _draw(work, names, ours)
        shown = sorted({one.case for one in drawn})
        if champion is not None:
            known = champion.provenance.knows
            shown = [name for name in shown if not known(work.cases[name].patient)]
        with work.segmented(champion, shown) as theirs:
            table = Table(
                work.cases,
                work.paths,
                ours,
                theirs,
                reference=work.protocol.blinding.reference,
                previous=previous,
            )
            steps = track(drawn, "write the items", total=len(drawn), unit="item")
            return [table.lay(one, part) for one in steps]


def _draw(work: Work, names: list[str], ours: Masks) -> list[Drawn]:
    """Choose cases by the protocol and draw the items."""
    cases, wanted = work.cases, work.protocol.cases
    shares = {name: annotated_share(cases, name, work.paths) for name in names}
    chosen = choose_cases(
        [cases[name] for name in names],
        {name: _goodness(work, name, ours, shares[name]) for name in names},
        worst=wanted.worst,
        at_random=wanted.random,
        strata=wanted.strata,
        seed=digest_json([work.candidate.digest, work.protocol.digest]),
    )
    if (drawn := sum(one.stratum == "random" for one in chosen)) < wanted.random:
        log.warning(
            "review.yaml asks for %d random cases, each of another patient; there are "
            "%d test patients, so one case of each is read. If none of them is "
            "unacceptable, the rate lies below %.1f %%. Import test cases of other "
            "patients for a closer bound",
            *(wanted.random, drawn, 100 * rate(0, drawn).high),
        )
    size = "reference_ml" if cases.unit == "mm" else "reference_px"
    drawn_on = [
        name
        for name in names
        if shares[name] == 1
        and any(ours.rows[name, one][size] > 0 for one in cases.structures[1:])
    ]
    return draw_items(
        chosen,
        repeats_fraction=wanted.repeats_fraction,
        controls=wanted.controls,
        drawn_on=drawn_on,
    )


def _goodness(work: Work, name: str, ours: Masks, share: float) -> float:
    """Mean Dice of a case; its confidence where nobody annotated it."""
    found = [ours.rows[name, one]["dice"] for one in work.cases.structures[1:]]
    dice = mean_known(found)
    if not math.isnan(dice):
        return dice
    if share > 0:
        return 1.0  # nothing is there and nothing was found
    section = read_section(work.paths.params, "predict", PredictParams)
    image = read_case(work.paths.data, work.cases, work.cases[name])
    return confidence(work.candidate.segmenter, image, section.inference(work.compute))


def _describe(work: Work, champion: Side | None, items: list[Item]) -> Dossier:
    """What is reviewed, before it is sealed."""
    registered, root = work.candidate.registered, work.paths.root
    return Dossier(
        format_version=1,
        name=registered.name,
        version=registered.version,
        segmenter=work.candidate.digest,
        champion=None if champion is None else champion.digest,
        protocol=work.protocol.digest,
        data=data_version(root),
        code=git_tags(root).get("git.commit"),
        registered=work.candidate.provenance.subject(
            registered.name, registered.version
        ),
        made=datetime.now(UTC),
        structures=structures_of(work.cases),
        unit=work.cases.unit,
        windows=windows_of(work.cases.channels),
        items=tuple(items),
        files={},
    )


def structures_of(cases: CaseList) -> tuple[Structure, ...]:
    """What is rated, and its values in the masks."""
    legend = cases.legend
    first = tuple(own[0] for own in legend.members[1:])
    values = first if legend.unions is None else legend.unions.order
    return tuple(
        Structure(name=name, value=value, members=() if own == (value,) else own)
        for name, value, own in zip(
            legend.structures[1:], values, legend.members[1:], strict=True
        )
    )
