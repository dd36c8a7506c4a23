"""Foreign chat templates: bounded in time, memory and output; odd ones are one paragraph."""

from __future__ import annotations

import json
import resource
import signal
import time

import pytest

from harness.errors import HarnessError
from harness.model import chat_template
from harness.model.chat_template import ChatTemplate


def model(folder, template):
    (folder / "config.json").write_text(json.dumps({"vision_config": {}}))
    (folder / "chat_template.jinja").write_text(template)
    return ChatTemplate(folder)


LOOP = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (LOOP, "longer than 2 s"),
        ('{{ "x" * 9999999999 }}', "MiB of memory"),
        ('{{ "x" | center(9999999999) }}', "MiB of memory"),
        ('{{ "x" * 9999999 }}', "makes 9999999 characters"),
        ("{{ messages[7].content.nothing.at.all }}", "refuses a question"),
        ("{{ 1 / 0 }}", "refuses a question"),
        ("{{ range(0, 10, 0) }}{{ messages.pop(3) }}", "refuses a question"),
    ],
)
def test_a_template_that_runs_away_is_stopped(tmp_path, monkeypatch, template, told):
    monkeypatch.setattr(chat_template, "_SECONDS", 2.0)
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    began = time.process_time()
    with pytest.raises(HarnessError, match=told) as caught:
        model(tmp_path, template).render("What is this?", 1)
    assert time.process_time() - began < 10
    assert "chat_template.jinja" in str(caught.value)
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)) == before
