"""The comparison as a whole: joins, verdicts, flips, lengths, categories."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from harness.benchmark import Metric, all_of, f1_of, mean_of, ratio_of
from harness.compare import Comparison, compare, examples_of
from harness.compare.verdicts import overall
from harness.errors import HarnessError
from harness.records import Sample, from_json, to_json

DRAWS = 400


def sample(index, score, **fields):
    values = dict(
        id=f"{index:04d}",
        content=f"content {index}",
        cluster=f"image {index}",
        prompt="How many squares?",
        target="two",
        answer="two" if score else "three",
        tokens=1,
        finish="stop",
        scores={"score": score},
    )
    return Sample(**{**values, **fields})


def rows(scores, per_image=1, **fields):
    return [sample(i, s, cluster=f"image {i // per_image}", **fields) for i, s in enumerate(scores)]


def once(before, after, *columns, **options):
    chosen = {"bench": columns or (mean_of("score"),)}
    options.setdefault("draws", DRAWS)
    return compare({"bench": before}, {"bench": after}, chosen, **options)


def noisy(seed, count=400, right=0.5, flip=0.2, per_image=1):
    fixed, own = random.Random("questions"), random.Random(seed)
    scores = []
    for _ in range(count):
        score = float(fixed.random() < right)
        scores.append(1 - score if own.random() < flip else score)
    return rows(scores, per_image)


def test_an_arm_against_itself_is_exactly_nothing():
    arm = noisy(1, per_image=4)
    columns = (mean_of("score"), mean_of("score", name="again", higher_is_better=False))
    result = once(arm, list(arm), *columns)
    assert result.verdict == "no change"
    (benchmark,) = result.benchmarks
    for figure in benchmark.figures:
        assert (figure.difference, figure.interval, figure.p) == (0.0, (0.0, 0.0), 1.0)
        assert (figure.p_holm, figure.p_discovery, figure.verdict) == (1.0, 1.0, "no change")
    assert benchmark.flips == ()
    assert (benchmark.rose, benchmark.fell) == (0, 0)
    assert benchmark.length.before == benchmark.length.after


def test_gain_loss_and_their_mirror():
    worse, better = rows([0.0] * 60 + [1.0] * 40), rows([1.0] * 100)
    gain, loss = once(worse, better), once(better, worse)
    assert (gain.verdict, loss.verdict) == ("gain", "loss")
    up, down = gain.benchmarks[0].figures[0], loss.benchmarks[0].figures[0]
    assert (up.before, up.after, up.difference) == (40.0, 100.0, 60.0)
    assert up.test == "McNemar, mid-p"
    assert down.interval == (-up.interval[1], -up.interval[0])
    assert gain.benchmarks[0].fixed == loss.benchmarks[0].broken
    assert len(gain.benchmarks[0].fixed) == 60


def test_lower_is_better_turns_the_verdict_and_no_direction_has_none():
    low, high = rows([0.0] * 60 + [1.0] * 40), rows([1.0] * 100)
    for better, expected in ((False, "loss"), (None, "changed")):
        result = once(low, high, mean_of("score", higher_is_better=better))
        assert result.benchmarks[0].figures[0].verdict == expected


def test_no_worse_needs_enough_rows_and_cannot_tell_is_an_answer():
    many = [float(i % 2) for i in range(4000)]
    few_flips = [1 - s if i % 400 < 2 else s for i, s in enumerate(many)]
    assert once(rows(many), rows(few_flips)).verdict == "no worse"
    assert once(rows(many[:100]), rows(few_flips[:100])).verdict == "cannot tell"
    assert once(rows(many), rows(few_flips), margin=0.01).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["gain", "cannot tell"], "gain"),
        (["gain", "loss"], "mixed"),
        (["loss", "no worse"], "loss"),
        (["no change", "no change"], "no change"),
        (["no change", "no worse"], "no worse"),
        (["no worse", "cannot tell"], "cannot tell"),
    ],
)
def test_overall_verdict(verdicts, expected):
    (one,) = once(noisy(1)[:20], noisy(2)[:20]).benchmarks
    each = [
        dataclasses.replace(one, figures=(dataclasses.replace(one.figures[0], verdict=verdict),))
        for verdict in verdicts
    ]
    assert overall(each) == expected


def test_order_of_rows_does_not_matter_and_the_seed_does_only_a_little():
    before, after = noisy(1, per_image=5), noisy(2, per_image=5)
    one = once(before, after)
    mixed = random.Random(0).sample(before, len(before)), random.Random(1).sample(after, len(after))
    assert once(*mixed) == one
    assert once(before, after, seed=0) == one
    other = once(before, after, seed=1).benchmarks[0].figures[0]
    assert other.difference == one.benchmarks[0].figures[0].difference
    assert other.p == pytest.approx(one.benchmarks[0].figures[0].p, abs=0.1)


def test_a_neighbour_changes_the_correction_only():
    before, after = noisy(1), noisy(2)
    column = (mean_of("score"),)
    alone = once(before, after).benchmarks[0].figures[0]
    names = {"bench": column, "other": column}
    both = compare(
        {"bench": before, "other": noisy(3)},
        {"bench": after, "other": noisy(4)},
        names,
        draws=DRAWS,
    )
    figure = both.benchmarks[0].figures[0]
    assert both.family == 2
    assert (figure.p, figure.interval) == (alone.p, alone.interval)
    assert figure.p_holm >= alone.p_holm
    assert figure.detectable_corrected > figure.detectable == alone.detectable


def test_missing_samples_are_left_out_and_counted_never_zero():
    before, after = rows([1.0] * 40), rows([1.0] * 40)
    after[3] = dataclasses.replace(after[3], answer=None, finish="missing", scores={}, error="oom")
    before[5] = dataclasses.replace(before[5], scores={"score": None}, error="no verdict")
    before[6] = dataclasses.replace(before[6], scores={"score": float("nan")})
    result = once(before, after)
    (benchmark,) = result.benchmarks
    (figure,) = benchmark.figures
    assert (figure.samples, figure.missing_before, figure.missing_after) == (37, 2, 1)
    assert (figure.before, figure.after, figure.verdict) == (100.0, 100.0, "cannot tell")
    assert benchmark.missing_before == ("0005", "0006")
    assert benchmark.missing_after == ("0003",)
    assert result.missing == 3
    assert [(f.id, f.direction, f.label) for f in benchmark.flips] == [
        ("0003", "lost", "missing"),
        ("0005", "found", "missing"),
        ("0006", "found", "missing"),
    ]
    assert any("no score" in note for note in benchmark.notes)


def test_nothing_scored_is_no_number():
    empty = rows([None] * 4)
    result = once(empty, empty)
    figure = result.benchmarks[0].figures[0]
    assert (figure.before, figure.difference, figure.p, figure.verdict) == (
        None,
        None,
        None,
        "cannot tell",
    )
    json.dumps(to_json(result), allow_nan=False)


def test_partial_overlap_is_refused_and_named_unless_allowed():
    before, after = noisy(1)[:50], noisy(2)[:48]
    with pytest.raises(HarnessError, match=r"2 of 50 rows .*before only: 0048.*same --limit"):
        once(before, after)
    result = once(before, after, partial=True)
    assert result.benchmarks[0].left_out == 2
    assert result.benchmarks[0].samples == 48
    assert "left out" in result.benchmarks[0].notes[0]


def test_another_question_under_the_same_id_is_refused():
    before, after = noisy(1)[:30], noisy(2)[:30]
    after[7] = dataclasses.replace(after[7], content="another image")
    with pytest.raises(HarnessError, match=r"same id but another question.*0007"):
        once(before, after)
    assert once(before, after, partial=True).benchmarks[0].samples == 29


def test_double_ids_lacking_benchmarks_and_double_columns_are_refused():
    arm = noisy(1)[:10]
    with pytest.raises(HarnessError, match="more than once before"):
        once([*arm, arm[0]], arm)
    with pytest.raises(HarnessError, match="nothing to compare in after"):
        compare({"a": arm}, {}, {"a": (mean_of("score"),)})
    with pytest.raises(HarnessError, match="nothing to compare in columns"):
        compare({"a": arm, "b": arm}, {"a": arm, "b": arm}, {"a": (mean_of("score"),)})
    with pytest.raises(HarnessError, match="same name"):
        once(arm, arm, mean_of("score"), mean_of("score"))
    with pytest.raises(HarnessError, match="no row in common"):
        once(arm, [dataclasses.replace(row, id="x" + row.id) for row in arm], partial=True)


def test_flips_say_why():
    refusal = "I'm sorry, I cannot answer that."
    cases = {  # what the row looks like after, and the label it should get
        0: ({"scores": {"score": 0.0, "lenient": 1.0}, "answer": "Yes."}, "format break"),
        1: ({"scores": {"score": 0.0, "lenient": 0.0}, "finish": "length"}, "cut off"),
        2: ({"scores": {"score": 0.0, "lenient": 0.0}, "answer": refusal}, "refusal"),
        3: ({"scores": {"score": 0.0, "lenient": 0.0}, "answer": "no"}, "true change"),
    }
    before = [sample(i, 1.0, scores={"score": 1.0, "lenient": 1.0}) for i in range(10)]
    after = [dataclasses.replace(row, **cases.get(i, ({},))[0]) for i, row in enumerate(before)]
    columns = (mean_of("score", lenient="lenient"), mean_of("lenient"))
    broken = once(before, after, *columns).benchmarks[0]
    assert broken.flips_in == "score"
    assert {flip.id: flip.label for flip in broken.flips} == {
        f"{i:04d}": label for i, (_, label) in cases.items()
    }
    assert broken.broken == ("0000", "0001", "0002", "0003")
    # Back again: the worse arm is now the first one, the reasons are the same.
    fixed = once(after, before, *columns).benchmarks[0]
    assert fixed.fixed == broken.broken
    assert [flip.label for flip in fixed.flips] == [flip.label for flip in broken.flips]


def test_graded_scores_flip_at_half_and_small_moves_are_counted_apart():
    result = once(rows([0.4, 0.4, 0.6, 0.9]), rows([0.5, 0.45, 0.4, 0.8])).benchmarks[0]
    assert (result.fixed, result.broken) == (("0000",), ("0002",))
    assert (result.rose, result.fell) == (2, 2)


def test_length_and_the_difference_where_lengths_are_alike():
    before = [sample(i, 0.0, tokens=10) for i in range(40)]
    after = [sample(i, float(i >= 20), tokens=10 if i < 20 else 30) for i in range(40)]
    length = once(before, after).benchmarks[0].length
    assert (length.samples, length.before, length.after) == (40, 10.0, 20.0)
    # Every gain came with a longer answer.
    assert (length.matched, length.difference) == (20, 0.0)
    # Twenty rows without a change are no proof that none would come: one more is allowed for.
    assert length.interval[0] == -length.interval[1] < -100 / 21


def test_categories_and_rows_in_several():
    names = ["ocr,math", "ocr", "math", ""]
    before = [sample(i, 0.0, groups={"capability": names[i % 4]}) for i in range(40)]
    after = [sample(i, float(i % 4 == 0), groups=before[i].groups) for i in range(40)]
    groups = once(before, after).benchmarks[0].groups
    assert [(g.value, g.samples, g.after) for g in groups] == [
        ("math", 20, 50.0),
        ("ocr", 20, 50.0),
    ]


def test_rows_that_count_together_and_images_that_groups_join():
    column = all_of("score", group=lambda row: row.id[-2:])
    before = [sample(i, 1.0, id=f"{t}{i:02d}") for t in range(4) for i in range(30)]
    after = [
        dataclasses.replace(row, scores={"score": float(row.id not in ("003", "103", "204"))})
        for row in before
    ]
    (benchmark,) = once(before, after, column).benchmarks
    (figure,) = benchmark.figures
    assert (figure.units, figure.samples) == (30, 120)
    assert figure.after == pytest.approx(100 * 28 / 30)
    assert benchmark.broken == ("03", "04")
    assert benchmark.flips[0].rows == ("003", "103", "203", "303")
    # Groups of one image are one cluster, and images that one group spans are one too.
    odd = [dataclasses.replace(row, cluster=f"{row.id[0]}{int(row.id) % 2}") for row in before]
    pairs = zip(after, odd, strict=True)
    moved = [dataclasses.replace(row, cluster=other.cluster) for row, other in pairs]
    again = once(odd, moved, column)
    assert again.benchmarks[0].figures[0].clusters == 2


def test_one_group_missing_in_one_row_is_missing():
    column = all_of("score", group=lambda row: row.id[-1])
    before = [sample(i, 1.0, id=f"{t}{i}") for t in range(2) for i in range(5)]
    after = [dataclasses.replace(before[0], scores={"score": None}), *before[1:]]
    (figure,) = once(before, after, column).benchmarks[0].figures
    assert (figure.units, figure.missing_after, figure.verdict) == (4, 2, "cannot tell")


def test_a_total_over_subtasks_and_a_ratio():
    def value(totals):
        return 100 * (totals[..., 0] / totals[..., 1] + totals[..., 2] / totals[..., 3])

    def count(group):
        score = group[0].scores["score"]
        first = group[0].groups["task"] == "a"
        return (score, 1.0, 0.0, 0.0) if first else (0.0, 0.0, score, 1.0)

    total = Metric("total", count, value, high=200.0)
    before = [sample(i, float(i % 3 == 0), groups={"task": "ab"[i % 2]}) for i in range(60)]
    after = [dataclasses.replace(r, scores={"score": 1.0}) for r in before]
    (figure,) = once(before, after, total).benchmarks[0].figures
    assert figure.after == 200.0
    assert figure.before == pytest.approx(100 * 20 / 30)
    assert figure.verdict == "gain"
    assert figure.margin == 2.0
    chair = ratio_of("invented", "named", higher_is_better=False)
    one = [sample(i, 1.0, scores={"invented": 2.0, "named": 4.0}) for i in range(30)]
    two = [sample(i, 1.0, scores={"invented": i % 2, "named": 4.0}) for i in range(30)]
    result = once(one, two, chair).benchmarks[0].figures[0]
    assert (result.before, result.after, result.verdict) == (50.0, 12.5, "gain")


def test_f1_takes_part_in_the_bootstrap():
    before = [
        sample(i, 1.0, scores={"said": float(i % 3 == 0), "label": float(i % 2)}) for i in range(90)
    ]
    after = [dataclasses.replace(r, scores={**r.scores, "said": r.scores["label"]}) for r in before]
    (figure,) = once(before, after, f1_of("said", "label")).benchmarks[0].figures
    assert figure.before == pytest.approx(100 * 2 * 15 / (2 * 15 + 15 + 30))
    assert (figure.after, figure.verdict) == (100.0, "gain")
    assert once(before, after, f1_of("said", "label")).benchmarks[0].flips == ()


def test_a_verdict_is_only_told_after_correction():
    before, after = rows([0.0] * 8 + [1.0] * 92), rows([1.0] * 7 + [0.0] + [1.0] * 92)
    assert once(before, after).verdict == "gain"
    still = {f"still{i}": rows([float(i % 2) for i in range(20)]) for i in range(9)}
    columns = {name: (mean_of("score"),) for name in ("bench", *still)}
    crowd = compare({"bench": before, **still}, {"bench": after, **still}, columns, draws=DRAWS)
    figure = crowd.benchmarks[0].figures[0]
    assert figure.p < 0.05 < figure.p_holm
    assert figure.interval[0] > 0
    assert figure.verdict == crowd.verdict == "no worse"


def test_different_judges_and_few_images_are_noted():
    before = rows([1.0, 0.0] * 10, per_image=4, judge="builtin")
    after = rows([1.0, 1.0] * 10, per_image=4, judge="gpt-x")
    notes = once(before, after).benchmarks[0].notes
    assert any("Different judges" in note and "gpt-x" in note for note in notes)
    assert any("Only 5 images" in note for note in notes)


def test_json_form_reads_back_and_holds_no_surprise():
    before, after = noisy(1, per_image=3), noisy(2, per_image=3)
    after[0] = dataclasses.replace(after[0], answer=None, scores={})
    result = once(before, after, mean_of("score"))
    text = json.dumps(to_json(result), allow_nan=False)
    assert from_json(Comparison, json.loads(text)) == result
    assert result.version == 3


def test_examples_carry_both_answers():
    before, after = rows([0.0, 1.0] * 20), rows([1.0, 0.0] * 20)
    result = once(before, after)
    examples = examples_of(result, {"bench": before}, {"bench": after}, each=2)
    assert [(e.id, e.direction, e.before, e.after) for e in examples] == [
        ("0000", "fixed", "three", "two"),
        ("0002", "fixed", "three", "two"),
        ("0001", "broken", "two", "three"),
        ("0003", "broken", "two", "three"),
    ]


def test_the_module_starts_without_numpy():
    code = "import sys, harness.compare; print('numpy' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_mean_of_counts_rows_of_a_group():
    column = mean_of("score")
    assert column.count(rows([1.0, 0.0, 1.0])) == (2.0, 3.0)
    assert float(column.value(np.array([2.0, 3.0]))) == pytest.approx(200 / 3)
