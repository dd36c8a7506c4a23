"""Which kind of judge settings name: one behind a server, or one in this process."""

from __future__ import annotations

from harness.judge.local import LocalJudge
from harness.judge.protocol import LOCAL, SERVER, Judge, check
from harness.judge.server import ServerJudge
from harness.model import server_name
from harness.settings import JudgeSettings


def open_judge(settings: JudgeSettings, *, device: str = "auto", dtype: str = "auto") -> Judge:
    """Return the judge that settings name; nothing is sent or loaded yet.

    Raises:
        UsageError: see :func:`check`, and where a local model does not exist.
    """
    check(settings)
    if settings.judge.startswith(SERVER):
        return ServerJudge(server_name(settings.judge, "--judge"), settings)
    source = settings.judge.removeprefix(LOCAL)
    return LocalJudge(source, settings.judgings, device=device, dtype=dtype)
