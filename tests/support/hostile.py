"""Reports whose every text is hostile, and the corpus of such texts."""

from __future__ import annotations

from pathlib import Path

from harness.benchmark import mean_of
from harness.compare import Ruling, compare, examples_of
from harness.dpo import Curve
from harness.pairs import PairReport
from harness.pairs.measures import Change, Guess, LengthGap, PairExample
from harness.records import Sample
from harness.report import ReportInput

NOTICE = "Scores are of the built-in miniature and not comparable with published numbers."

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></summary><h1>owned</h1>",
    "<!-- comment",
    "[click](javascript:alert(1))",
    "![tracker](https://evil.example/pixel.png)",
    "[ref]: https://evil.example",
    "https://evil.example www.evil.example evil@evil.example",
    "@everyone @octocat #1 GH-1 org/repo#1",
    "a | b | c \\| d \\\\| e",
    "```\n</details>\n# owned\n```",
    "````text\nfence\n````",
    "~~~\n# owned\n~~~",
    "`` `tick` ``",
    "\n\n# heading\n\n- list\n\n> quote\n\n---\n\n    code",
    "**bold** _it_ ~~gone~~ $x$ :smile: &lt;b&gt; &#64;octocat",
    "line\rcarriage\r\n# owned\u2028# owned\x0b# owned\x85# owned",
    "right\u202eto left\u2066 hidden\u200b zero\ufeff width\x1b[31mred\x1b]0;title\x07\x00",
    "lone \ud800 surrogate",
    "[red]markup[/red] [link=https://evil.example]x[/link]",
    "",
    "`",
    "\\`",
    "x" * 5000,
]


def arm(score, texts, **fields):
    return [
        Sample(
            id=f"{i:02d} {text[:60]}",
            content=str(i),
            cluster=str(i),
            prompt=text,
            target=text,
            answer=text,
            tokens=3 + i % 2,
            finish="stop",
            scores={"score": float((i + score) % 2)},
            thought=text,
            groups={f"key {text[:40]}": text[:40].replace(",", ";") or "x"},
            **fields,
        )
        for i, text in enumerate(texts)
    ]


def report(texts, name="mmvet", **fields):
    before, after = {name: arm(0, texts)}, {name: arm(1, texts, judge=texts[0] or "rule")}
    result = compare(before, after, {name: [mean_of("score", name=f"score {texts[0]}")]}, draws=200)
    values = dict(
        comparison=result,
        notes=tuple(texts[:3]),
        method=texts[0],
        model=texts[0],
        data=texts[0],
        options={texts[0]: texts[0]},
        pairs=30,
        dropped={texts[0]: 2},
        versions={"torch": texts[0]},
        notice=NOTICE,
        examples=examples_of(result, before, after, each=99),
        before=before,
        after=after,
        doctor=doctor_of(texts[0]),
        curves=(Curve("loss", ((1.0, 0.7), (2.0, 0.6))),),
        gate=(Ruling(texts[0], name, texts[0], "fails", texts[0]),),
        clock={"finished": "2026-11-20T12:00:00"},
    )
    return ReportInput(**{**values, **fields})


def doctor_of(text):
    """Return a pair report in which everything a stranger could write is ``text``."""
    return PairReport(
        pairs=30,
        dropped={text: 2},
        equal=0.1,
        near=0.2,
        length=LengthGap(5.0, 4.0, 1.0, 0.6, 0.04),
        guesses=(Guess(text, 0.5, 30, None),),
        reference=None,
        changes=(Change(text, 30, 0.1, 0.2, 0.5),),
        critic=None,
        warnings=(text,),
        examples=(
            PairExample(text, Path("x"), text, text, (text, "b"), {text: 0.5}, {text: "pair-1"}),
        ),
    )


def name_of(text):
    return text[:40].replace("\ud800", "") or "x"
