"""Check a run or a bundle: do its numbers and verdicts follow from its rows?

Three questions, none of which needs a model: is every member what the manifest says; what do the
rows give when they are compared again with the recorded seed, draws, level and margin; and is that
what was recorded? What this cannot show is that the rows were measured as stated: for that, compare
the bundle's SHA-256 with the one that its author published.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness.compare import Comparison
from harness.errors import HarnessError, UsageError
from harness.records import distinct
from harness.runs.bundles import Packed, pack, unpacked, wrong_members
from harness.runs.finished import FinishedRun, open_run
from harness.runs.recomputing import ALONE, DIFFERS, OK, OLDER, UNKNOWN, Check, followed
from harness.storage import changed_records, file_digest

_SHOWN = 3  # differences in a message


@dataclass(frozen=True)
class Verification:
    """What the check of a run or a bundle came to.

    ``digest`` is that of a bundle file; ``changed`` are members that are not what its manifest
    says; ``rows`` counts those of both arms and every training seed.
    """

    path: str
    digest: str | None
    changed: tuple[str, ...]
    checks: tuple[Check, ...]
    rows: int

    @property
    def passed(self) -> bool:
        """Whether nothing was changed and every part follows from the rows.

        One model's answers alone claim no number: of those, the digests are what is checked. So it
        is with figures that another version of the comparison computed.
        """
        fine = (OK, ALONE, OLDER)
        return not self.changed and all(check.outcome in fine for check in self.checks)


def verify(path: Path) -> Verification:
    """Check a run folder or a bundle.

    Raises:
        UsageError: if there is neither.
        HarnessError: if a file in it cannot be read.
    """
    packed = path.is_file()
    changed = wrong_members(path) if packed else changed_records(path)
    checks: list[Check] = []
    rows = 0
    with unpacked(path, damaged=True) as folder:
        try:
            run = open_run(folder)
        except UsageError:
            raise
        except HarnessError as error:  # the message names the file
            checks.append(Check("run", "files", DIFFERS, (str(error),)))
        else:
            found, again = followed(run, folder)
            checks += map(_of_older, found) if _older(run, again) else found
            rows = _count(run)
    return Verification(
        path=str(path),
        digest=file_digest(path) if packed else None,
        changed=changed,
        checks=tuple(checks),
        rows=rows,
    )


def open_evidence(path: Path) -> FinishedRun:
    """Read a run folder or a bundle, and hold what it says against its rows.

    What is returned are the figures and verdicts that the rows give with the recorded seed, draws,
    level and margin. Those that were recorded are never trusted: where they differ, the run is
    refused, unless another version of the comparison wrote them.

    Raises:
        UsageError: if there is neither, or a package that brings a benchmark is not installed.
        HarnessError: if a file is damaged, or something does not follow from the rows.
    """
    with unpacked(path) as folder:
        run = open_run(folder)
        checks, found = followed(run, folder)
    unknown = [text for each in checks if each.outcome == UNKNOWN for text in each.details]
    if unknown:
        raise UsageError(" ".join(unknown))
    recorded, older = run.report.comparison, _older(run, found)
    wrong = [
        f"{each.benchmark} {each.part}: {text}"
        for each in checks
        if each.outcome == DIFFERS and not (older and each.derived)
        for text in each.details
    ]
    if wrong:
        more = f" (and {len(wrong) - _SHOWN} more)" if len(wrong) > _SHOWN else ""
        raise HarnessError(
            f"{path} does not follow from its own rows, so nothing is decided from it: "
            f"{'; '.join(wrong[:_SHOWN])}{more}. See everything with: harness verify {path}; get "
            "it again from where it came, or call the command that made the run again."
        )
    report = run.report
    if older and found is not None and recorded is not None:
        report = dataclasses.replace(report, comparison=_again(recorded, found))
    return dataclasses.replace(run, folder=path, report=report)


def bundle(run: Path, out: Path | None = None, *, images: bool = False) -> Packed:
    """Pack a finished run into one file; see :func:`harness.runs.bundles.pack`.

    Raises:
        UsageError: if the folder holds no finished run.
        HarnessError: if the run does not follow from its rows, or cannot be packed.
    """
    if run.is_file():
        raise UsageError(f"{run} is a file. Name the folder of a run, as in: harness bundle RUN")
    open_evidence(run)
    return pack(run, out, images=images)


def _older(run: FinishedRun, found: Comparison | None) -> bool:
    """Whether another version of the comparison computed the recorded figures."""
    recorded = run.report.comparison
    return found is not None and recorded is not None and recorded.version != found.version


def _of_older(check: Check) -> Check:
    differs = check.derived and check.outcome == DIFFERS
    return dataclasses.replace(check, outcome=OLDER, details=()) if differs else check


def _again(recorded: Comparison, found: Comparison) -> Comparison:
    """Keep what a run noted of its own beside figures of this version."""
    kept = {each.name: each.notes for each in recorded.benchmarks}
    benchmarks = tuple(
        dataclasses.replace(each, notes=distinct((*each.notes, *kept[each.name])))
        for each in found.benchmarks
    )
    note = "Another version of the harness wrote this run; its figures were computed again."
    return dataclasses.replace(found, benchmarks=benchmarks, notes=(*recorded.notes, note))


def _count(run: FinishedRun) -> int:
    arms = (arm for pair in ((run.before, run.after), *run.more) for arm in pair)
    return sum(len(rows) for arm in arms for rows in arm.values())
