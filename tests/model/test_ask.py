"""Items and the answers to their requests stay together, lazily."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.model import ask_each
from harness.model.ask import windows
from harness.records import Answer, Request


class Echo:
    """Answers with the question, reading ``ahead`` requests before it answers the first."""

    def __init__(self, ahead=1):
        self.ahead, self.read = ahead, 0

    def answer(self, requests):
        window = []
        for request in requests:
            self.read += 1
            window.append(request)
            if len(window) == self.ahead:
                yield from (Answer(item.prompt) for item in window)
                window = []
        yield from (Answer(item.prompt) for item in window)


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 9))
def test_every_item_keeps_its_own_answers_whatever_the_model_reads_ahead(counts, ahead):
    items = list(enumerate(counts))
    found = ask_each(
        Echo(ahead), items, lambda item: [Request(f"{item[0]}.{n}") for n in range(item[1])]
    )
    assert [(item, [answer.text for answer in answers]) for item, answers in found] == [
        (item, [f"{item[0]}.{n}" for n in range(item[1])]) for item in items
    ]


def test_no_more_is_read_than_the_model_reads():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    model = Echo(ahead=4)
    found = ask_each(model, items(), lambda number: [Request(str(number)), Request("?")])
    assert taken == []
    next(found)
    assert taken == [0, 1]
    assert model.read == 4


def test_a_window_ends_by_number_or_by_the_pixels_of_its_images(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("harness.model.ask.PIXELS", 250)
    one, *other = (Image.new("RGB", (10, 10)) for _ in range(6))

    def sizes(images, most):
        return [len(each) for each in windows((Request("?", (i,)) for i in images), most)]

    assert sizes(other, 9) == [3, 2]  # 100 pixels each
    assert sizes(other, 2) == [2, 2, 1]
    assert sizes([one] * 7, 9) == [7]  # one image, held once
    assert [len(each) for each in windows(map(Request, "abc"), 2)] == [2, 1]
