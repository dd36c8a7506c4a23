"""``junit.xml``: the comparison for a CI system that shows tests.

One test case for each figure that the run's verdict rests on: a loss is a failure, rows without a
score are an error, as are answers that mostly say nothing; a figure that could not be had is
skipped. Figures of one model by itself are cases too, and so are the rules of a gate where one was
asked.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from harness.compare import (
    FAILS,
    UNKNOWN,
    BenchmarkComparison,
    MetricLevel,
    MetricResult,
    Ruling,
    deciding,
    unreadable,
)
from harness.dpo import TrainingEffect
from harness.report import ARMS, ReportInput
from harness.storage import write_whole
from harness_reports import numbers, words

NAME = "junit.xml"
_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``junit.xml`` into the run folder, whole or not at all.

    Raises:
        HarnessError: if the file cannot be written.
    """
    return write_whole(folder / NAME, render(report))


def render(report: ReportInput) -> str:
    """Return the XML; every text of the model's or the data's is escaped and cut to one line."""
    about = report.method if report.arms == ARMS else " vs ".join(report.arms)
    named = "" if Path(report.model).name in about else f" {report.model}"
    suite = ET.Element("testsuite", name=_text(f"harness {about}{named}"))
    if report.comparison is not None:
        for benchmark, figure in deciding(report.comparison):
            _case(suite, benchmark, figure, report.arms)
    for level in report.levels:
        if level.primary:
            _level(suite, level)
    if report.training is not None:
        _training(suite, report.training)
    for rule in report.gate:
        _rule(suite, rule)
    cases = list(suite)
    counts = {"tests": len(cases)}
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[key] = sum(case.find(tag) is not None for case in cases)
    suite.attrib.update({key: str(count) for key, count in counts.items()})
    whole = ET.Element("testsuites")
    whole.append(suite)
    ET.indent(whole)
    text = ET.tostring(whole, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _case(
    suite: ET.Element,
    benchmark: BenchmarkComparison,
    figure: MetricResult,
    arms: tuple[str, str],
) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=_text(benchmark.name), name=_text(figure.column), time="0"
    )
    first, second = (words.one_line(name, 60) for name in arms)
    one, two = (numbers.figure(each, figure.digits) for each in (figure.before, figure.after))
    told = (
        (f"{one} to {two}" if arms == ARMS else f"{first} {one}, {second} {two}")
        + f", difference {numbers.difference(figure.difference, figure.interval, figure.digits)} "
        f"{figure.unit}, p {numbers.p_value(figure.p_holm)}: {words.verdict(figure)}"
    )
    gone = figure.missing_before + figure.missing_after
    told += "".join(f"; {note}" for note in words.notes(benchmark, arms)[len(benchmark.notes) :])
    if gone:
        told += f"; {words.missing(benchmark)} rows without a score {first} / {second}"
    if figure.verdict == "loss":
        ET.SubElement(case, "failure", type="loss", message=_text(told))
    elif unreadable(benchmark):
        ET.SubElement(case, "error", type="unread", message=_text(words.unread(benchmark, arms)))
    elif gone:
        ET.SubElement(case, "error", type="missing", message=_text(told))
    elif figure.difference is None:
        ET.SubElement(case, "skipped", message=_text(told))
    ET.SubElement(case, "system-out").text = _text(told)


def _level(suite: ET.Element, level: MetricLevel) -> None:
    """Add the figure of one model: it cannot fail, but its rows may be missing."""
    case = ET.SubElement(
        suite, "testcase", classname=_text(level.benchmark), name=_text(level.column), time="0"
    )
    told = (
        f"{numbers.figure(level.figure, level.digits)} {level.unit}, 95 % interval "
        f"{numbers.level_interval(level.interval, level.digits)}, {level.samples} rows, "
        f"{level.clusters} images"
    )
    if level.missing:
        told += f"; {level.missing} rows without a score"
        ET.SubElement(case, "error", type="missing", message=_text(told))
    elif level.figure is None:
        ET.SubElement(case, "skipped", message=_text(told))
    ET.SubElement(case, "system-out").text = _text(told)


def _training(suite: ET.Element, effect: TrainingEffect) -> None:
    """Add whether the training moved the weights."""
    case = ET.SubElement(suite, "testcase", classname="training", name="did it train", time="0")
    told = "; ".join(f"{name}: {value}" for name, value in effect.facts)
    if not effect.moved:
        ET.SubElement(case, "failure", type="idle", message=_text(told))
    ET.SubElement(case, "system-out").text = _text(told, 1000)


def _rule(suite: ET.Element, rule: Ruling) -> None:
    name = _text(f"{rule.rule} ({rule.benchmark} {rule.column})")
    case = ET.SubElement(suite, "testcase", classname="gate", name=name, time="0")
    if rule.outcome == FAILS:
        ET.SubElement(case, "failure", type="gate", message=_text(rule.told))
    elif rule.outcome == UNKNOWN:
        ET.SubElement(case, "error", type="missing", message=_text(rule.told))
    ET.SubElement(case, "system-out").text = _text(rule.told)


def _text(text: str, limit: int = 400) -> str:
    """Return text without what XML 1.0 forbids; hidden characters are spelt out first."""
    return _NO_XML.sub("", words.one_line(text, limit))
