"""Pairs and prompts that exist: read from a table in any of the published forms.

A row that cannot be used becomes a :class:`Drop` with its reason; it is counted in every report,
and a table of which nothing can be used is refused before anything is spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import HarnessError, plain
from harness.model import without_password
from harness.pairs.contents import Images, Unusable
from harness.pairs.forms import FORMS, IMAGE_COLUMNS, Found, read_row, recognise
from harness.pairs.tables import TableRow, rows_of, tables_of
from harness.records import Drop, Pair, Prompt, Side, distinct, fingerprint
from harness.storage import files_digest

EXAMPLES = 3
UNKNOWN = "unknown shape"
NO_ANSWERS = "no answers"


@dataclass(frozen=True)
class Given:
    """What a table holds.

    Attributes:
        prompts: those that can be used.
        pairs: a pair, or the reason why there is none, for each of the prompts; empty where the
            table was read for its prompts.
        dropped: rows of which not even a prompt can be used.
        forms: how many rows had which form.
        later: conversations of which only the first question is used.
    """

    prompts: tuple[Prompt, ...]
    pairs: tuple[Pair | Drop, ...] = ()
    dropped: tuple[Drop, ...] = ()
    forms: Mapping[str, int] = field(default_factory=dict)
    later: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, in whole sentences."""
        told = [
            f"{count} rows cannot be used: {reason} ({examples})"
            for reason, count, examples in told_drops(self.dropped)
        ]
        told += [f"{n} of {len(self.prompts)} have {what}" for what, n in shapes_of(self.prompts)]
        if self.prompts and not any(prompt.images for prompt in self.prompts):
            told.append(f"nothing here has an image; its column may be {', '.join(IMAGE_COLUMNS)}")
        if self.later:
            told.append(f"{self.later} conversations go on; only their first question is used")
        return tuple(told)


def read_given(
    path: Path,
    *,
    images: Path | None = None,
    keep: Path | None = None,
    allow_urls: bool = False,
    limit: int | None = None,
    answers: bool = True,
) -> Given:
    """Read pairs, or prompts, from a table.

    Args:
        path: see :func:`harness.pairs.tables.rows_of`.
        images: folder where the rows' image paths begin.
        keep: folder for images that lie in the table or behind an address.
        allow_urls: fetch images that are addresses.
        limit: stop after this number of prompts.
        answers: whether pairs are wanted, and rows without answers are dropped.

    Raises:
        UsageError: if the path holds no table.
        HarnessError: if no row can be used; it counts the reasons.
    """
    finder = Images(path, images, keep, allow_urls=allow_urls)
    prompts: list[Prompt] = []
    pairs: list[Pair | Drop] = []
    dropped: list[Drop] = []
    forms: Counter[str] = Counter()
    later = last = 0
    for row, form, id_, found in _found(path, pictures=True, answers=answers):
        if limit is not None and len(prompts) >= limit:
            break
        forms[form] += row.number != last  # a row may hold several pairs
        last = row.number
        try:
            if found.problem:
                raise Unusable(found.problem, found.detail)
            prompt = _prompt(id_, found, finder, answers=answers)
        except Unusable as error:
            asked = Prompt(id_, _named(found), found.question)
            meta = {"row": row.where, "detail": error.detail}
            dropped.append(Drop(asked, error.reason, meta))
            continue
        prompts.append(prompt)
        later += "later turns" in found.meta
        if answers:
            pairs.append(bound(_judged(prompt, found, row), prompt))
    made = Given(tuple(prompts), tuple(pairs), tuple(dropped), dict(forms), later)
    if not prompts or (answers and not any(isinstance(each, Pair) for each in pairs)):
        raise _nothing(path, made)
    return made


def _prompt(id_: str, found: Found, finder: Images, *, answers: bool) -> Prompt:
    """Make a prompt whose images are files.

    Where a model is still to be asked (no ``answers``), a prompt is one question about one image.

    Raises:
        Unusable: if that cannot be; says why.
    """
    count = len(found.images)
    if found.marks not in (0, count):
        told = f"{found.marks} image marks for {count} images"
        raise Unusable("image marks" if count else "no image", told)
    if count != 1 and not answers:
        raise Unusable("several images" if count else "no image", f"{count} images in the row")
    if found.history and not answers:
        raise Unusable("several turns", f"{len(found.history)} turns before the question")
    first, *more = map(finder.find, found.images) if count else (None,)
    others = tuple(map(finder.find, found.others)) if answers else ()
    return Prompt(id_, first, found.question, found.reference, others, tuple(more), found.history)


def shapes_of(prompts: Sequence[Prompt]) -> tuple[tuple[str, int], ...]:
    """Count the prompts that are not one question about one image, by what they have instead."""
    counts = {
        "several images": sum(len(prompt.images) > 1 for prompt in prompts),
        "earlier turns": sum(bool(prompt.history) for prompt in prompts),
        "no image": sum(not prompt.images for prompt in prompts),
    }
    return tuple((name, count) for name, count in counts.items() if count)


def given_fingerprint(path: Path, given: Given, keep: Path | None) -> str:
    """Hash the table and the bytes of the images that its prompts show.

    Where images lie, and where the kept ones are kept, plays no part.
    """
    tables = [files_digest(file.parent, [file]) for file in tables_of(path)]
    images = [
        image.name if image.parent == keep else files_digest(image.parent, [image])
        for image in distinct(path for one in given.prompts for path in (*one.images, *one.others))
    ]
    dropped = [(drop.prompt.id, drop.reason) for drop in given.dropped]
    return fingerprint(tables, images, dropped, len(given.prompts))


def given_answers(path: Path) -> Iterator[tuple[str, str, Pair | Drop]]:
    """Yield id, question and pair of each row without looking at its image.

    The ids are those that :func:`read_given` gives, and so are pairs and drops once they are
    :func:`bound` to its prompts.
    """
    for row, _, id_, found in _found(path, pictures=False, answers=True):
        prompt = Prompt(id_, Path(), found.question)
        if found.problem:
            yield id_, found.question, Drop(prompt, found.problem, {"row": row.where})
        else:
            yield id_, found.question, _judged(prompt, found, row)


def bound(item: Pair | Drop, prompt: Prompt) -> Pair | Drop:
    """Give a pair of :func:`given_answers` its prompt, and its answers their images.

    An image of its own that is the prompt's image is none.
    """
    if isinstance(item, Drop) or not item.sides:
        return replace(item, prompt=prompt)
    images = [None if s.image is None else prompt.others[int(str(s.image))] for s in item.sides]
    sides = tuple(
        replace(side, image=None if image == prompt.image else image)
        for side, image in zip(item.sides, images, strict=True)
    )
    made = replace(item, prompt=prompt, sides=sides)
    if (text := _equal(made)) is not None:
        return Drop(prompt, "equal", {"detail": text[:80]})
    return made


def _equal(pair: Pair) -> str | None:
    """Return the chosen answer where every rejected one is the same under the same image."""
    return pair.said[0][0] if len(set(pair.said)) == 1 else None


def _found(
    path: Path, *, pictures: bool, answers: bool
) -> Iterator[tuple[TableRow, str, str, Found]]:
    """Yield each row's form, an id of its own, and what it holds."""
    ids: set[str] = set()
    for row in rows_of(path, images=pictures):
        form = recognise(row.values) if row.values is not None else None
        if form is None:
            told = row.problem or "its columns are " + ", ".join(map(str, row.values or ()))
            many: Iterator[Found] = iter([Found(problem=UNKNOWN, detail=plain(told)[:200])])
        else:
            many = read_row(form, row.values or {})
        for found in many:
            if answers and not found.problem and found.chosen is None:
                columns = "its columns are " + ", ".join(map(str, row.values or ()))
                found = Found(
                    found.question, id=found.id, problem=NO_ANSWERS, detail=plain(columns)[:200]
                )
            id_ = str(row.number) if found.id is None else found.id
            id_ = id_ if id_ not in ids else f"{id_}#{row.number}"
            while id_ in ids:
                id_ += "+"
            ids.add(id_)
            yield row, form.name if form else UNKNOWN, id_, found
            if not answers:
                break  # a row with several pairs is one prompt


def _judged(prompt: Prompt, found: Found, row: TableRow) -> Pair | Drop:
    assert found.chosen is not None
    texts = (found.chosen, *found.rejected)
    if not found.rejected or not all(text.strip() for text in texts):
        return Drop(prompt, "empty answer", {"row": row.where, "detail": "an answer is empty"})
    sides = tuple(Side() if n is None else Side(Path(str(n))) for n in found.under)
    pair = Pair(prompt, found.chosen, found.rejected, dict(found.meta), sides)
    if _equal(pair) is not None:
        return Drop(prompt, "equal", {"row": row.where, "detail": found.chosen[:80]})
    return pair


def _named(found: Found) -> Path:
    """The path that a row names, for its drop; the folder itself where it names none."""
    image = found.images[0] if found.images else None
    if isinstance(image, Mapping):
        image = image.get("path")
    if not isinstance(image, str):
        return Path()
    shown = without_password(image) if "@" in image else image
    return Path(shown[:200].replace("\0", ""))


def given_text(given: Given) -> str:
    """Return what a file held, as lines for a terminal; nothing for the pairs of a run."""
    told = [f"form: {name} ({count} rows)" for name, count in given.forms.items()]
    drops = [*given.dropped, *(each for each in given.pairs if isinstance(each, Drop))]
    if given.forms:
        told += [f"dropped, {why}: {count} ({some})" for why, count, some in told_drops(drops)]
    if given.later:
        told.append(f"only the first question of a conversation is used: {given.later}")
    return "".join(line + "\n" for line in told)


def told_drops(drops: Sequence[Drop]) -> list[tuple[str, int, str]]:
    """Return reason, number and up to three examples of drops, the most frequent first."""
    by_reason: dict[str, list[Drop]] = {}
    for drop in drops:
        by_reason.setdefault(drop.reason, []).append(drop)
    return [
        (reason, len(found), "; ".join(map(_example, found[:EXAMPLES])))
        for reason, found in sorted(by_reason.items(), key=lambda each: -len(each[1]))
    ]


def _example(drop: Drop) -> str:
    where, detail = drop.meta.get("row", drop.prompt.id), str(drop.meta.get("detail") or "")
    return plain(f"{where}: {detail}" if detail else f"{where}")


def _nothing(path: Path, made: Given) -> HarnessError:
    drops = [*made.dropped, *(each for each in made.pairs if isinstance(each, Drop))]
    if not drops:
        return HarnessError(f"{path} holds no rows. Name a file with pairs or prompts in it.")
    reasons = "; ".join(f"{n} {why} ({told})" for why, n, told in told_drops(drops))
    hint = "What a row must hold is in docs/pairs.md."
    if all(drop.reason == NO_ANSWERS for drop in drops):
        hint = (
            "No column of these rows is known as a chosen or rejected answer; name them chosen and "
            "rejected, or as a form in docs/pairs.md does. Rows with one answer, as those of "
            "supervised training, serve as prompts, for which a method makes the pairs: "
            f"harness run --method seva --prompts {path} --bench BENCH"
        )
    elif any(drop.reason == UNKNOWN for drop in drops):
        names = "; ".join(form.name for form in FORMS)
        hint = (
            "Name the columns image, question, chosen and rejected, or as another of these forms "
            f"does: {names}. Their columns are in docs/pairs.md."
        )
    return HarnessError(f"None of the {len(drops)} rows of {path} can be used: {reasons}. {hint}")
