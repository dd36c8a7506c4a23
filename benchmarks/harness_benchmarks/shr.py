"""SHR, sentence-level hallucination ratio: sentences of a description that err (arXiv 2311.16839).

A row in the form that ``tasks/shr.yaml`` reads, cut short:

    {"question_id": "2324501", "facts": ["a man riding a wave", "the board is white", ...],
     "coco_id": "", "image": ...}

``coco_id`` is the photograph's number in COCO, where it has one. ``facts`` are Visual Genome's
region descriptions of the image and the facts that HA-DPO adds. The official protocol describes
with five beams, and a language model at temperature 0.7 calls each sentence right or hallucinated;
here decoding is greedy as everywhere. The built-in grader calls a sentence hallucinated when one of
its clauses says more than any single fact does. That is strict against free paraphrase, so its
level means little; a change in it, the same rule on both sides, means more. Without facts there is
no verdict. HA-DPO drops a sentence that the description has said before; its figure is a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.benchmark import (
    Anchor,
    Benchmark,
    JudgePrompt,
    Papers,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    has,
    judge_prompt,
    mean_of,
    ratio_of,
)
from harness.records import Scored
from harness_benchmarks import grader, llava
from harness_benchmarks.convert_shr import OFFICIAL
from harness_benchmarks.reading import numbered_words

_INTRO = (
    "The block 'answer' holds the numbered sentences of a description of an image. Judge every "
    "sentence by the block 'facts', which are true of the image and name the regions in it. A "
    "sentence that claims what the facts contradict, or an object that they rule out, is a "
    "hallucination. The facts say nothing of mood, style or feeling; where they do not allow a "
    "verdict, you cannot judge."
)
_FORM = (
    "Reply with the line 'Judgement:' and then one line for each sentence: its number, a full "
    "stop, one of the words 'hallucination', 'correct' or 'cannot judge', a colon, and a short "
    "reason."
)
_WORDS = ("hallucination", "correct", "cannot judge")


_METRICS = ("sentences", "hallucinated", "any", "sentences_once", "hallucinated_once")


def _first_said(sentences: Sequence[str]) -> list[bool]:
    """Say of each sentence whether no earlier one is the same, but for case and space."""
    plain = [" ".join(sentence.lower().split()) for sentence in sentences]
    return [text not in plain[:place] for place, text in enumerate(plain)]


def score(task: Task, row: Row, answer: str) -> Scored:
    """Count sentences and those with an unsupported clause."""
    facts = [str(fact) for fact in row.doc["facts"]]
    said = grader.sentences(answer)
    found = [grader.unsupported(sentence, facts) for sentence in said]
    if not any(map(grader.words, facts)):
        nothing = dict.fromkeys(_METRICS)
        return Scored(nothing, judge=grader.NAME, verdict="no facts are known")
    wrong = [clauses for clauses in found if clauses]
    first = _first_said(said)
    told = "; ".join(clause for clauses in wrong for clause in clauses)
    return Scored(
        {
            "sentences": float(len(said)),
            "hallucinated": float(len(wrong)),
            "any": float(bool(wrong)),
            "sentences_once": float(sum(first)),
            "hallucinated_once": float(
                sum(bool(clauses) and new for clauses, new in zip(found, first, strict=True))
            ),
        },
        judge=grader.NAME,
        verdict=f"not supported: {told}" if told else "all supported",
    )


def ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
    """Ask for a verdict on each sentence; a description without sentences needs none."""
    facts = [str(fact) for fact in row.doc["facts"]]
    if not any(map(grader.words, facts)):
        raise UnparsableReply("no facts are known")
    said = grader.sentences(answer)
    if not said:
        return None
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(said, start=1))
    text = judge_prompt(_INTRO, _FORM, facts="\n".join(facts), answer=numbered)
    return JudgePrompt(text, max_tokens=64 + 64 * len(said))


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Count sentences and those called a hallucination; each must have exactly one verdict."""
    said = grader.sentences(answer)
    words = numbered_words(reply, len(said), _WORDS) if said else []
    wrong = words.count("hallucination")
    first = _first_said(said)
    new = [word for word, once in zip(words, first, strict=True) if once]
    counts = {
        "sentences": len(said),
        "hallucinated": wrong,
        "any": bool(wrong),
        "sentences_once": sum(first),
        "hallucinated_once": new.count("hallucination"),
    }
    scores = {name: float(count) for name, count in counts.items()}
    return Scored(scores, verdict=reply if said else "no sentence")


def _anchor(name: str, answer: str, low: float, high: float) -> Anchor:
    facts = [
        "a man riding a wave",
        "the surfboard is white",
        "the man wears a black wetsuit",
        "there is nobody else in the water",
    ]
    return Anchor(name, {"facts": facts}, answer, "hallucinated", low, high)


RUBRIC = Rubric(
    version="shr 1",
    ask=ask,
    read=read,
    metrics=lambda row: _METRICS,
    anchors=(
        _anchor("right", "A man rides a wave. His surfboard is white.", 0, 0),
        _anchor("wrong", "Two women swim beside him. The surfboard is bright red.", 2, 2),
        _anchor("half", "A man rides a wave. The surfboard is bright red.", 1, 1),
    ),
    span=2.0,
)
BENCHMARK = Benchmark(
    name="shr",
    title="SHR",
    task=str(Path(__file__).parent / "tasks" / "shr.yaml"),
    score=score,
    columns=(
        ratio_of("hallucinated", "sentences", name="SHR", higher_is_better=False, primary=True),
        mean_of("any", name="descriptions with an error", higher_is_better=False),
        ratio_of(
            "hallucinated_once",
            "sentences_once",
            name="SHR without repeats (HA-DPO's rule)",
            higher_is_better=False,
            applies=has("sentences_once"),
        ),
    ),
    papers={llava.PROTOCOL: Papers(("SHR without repeats (HA-DPO's rule)",))},
    image_source=lambda doc: f"{int(doc['coco_id']):012d}" if doc.get("coco_id") else "",
    judge=grader.NAME,
    rubric=RUBRIC,
    source_files=OFFICIAL,
    licence="Apache-2.0 (annotations, HA-DPO); images: Visual Genome, CC BY 4.0",
    source="arXiv 2311.16839; github.com/opendatalab/HA-DPO, 200 images of Visual Genome",
    published={
        "llava-1.5-7b": "36.7 (HA-DPO; SeVa table): GPT-4 judges",
        "seva-7b": "34.9 at noise step 800, 32.7 at step 500 (SeVa README)",
    },
)
