"""Every bad value of a knob is refused by name, before a model is loaded or an answer asked."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from harness.cli import main
from harness.errors import ExitCode
from tests.support.bad_knobs import BAD_KNOBS

ASKED = ["run", "--method", "seva", "--bench", "pope", "--limit", "4", "--max-prompts", "24"]


@pytest.mark.slow
@pytest.mark.parametrize("knob", BAD_KNOBS)
def test_a_bad_knob_is_refused_by_its_name_in_under_three_seconds(
    knob, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["harness", *ASKED, "--out", str(tmp_path), "--set", knob])
    start = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main()
    spent = time.process_time() - start
    said = capsys.readouterr().err
    assert ended.value.code == ExitCode.USAGE
    assert said.count("Error: ") == 1
    assert knob.split("=")[0] in said or "there is no corruption 'nois'" in said
    assert not list(tmp_path.iterdir())
    assert spent < 3


def test_neither_torch_nor_a_model_is_loaded_for_it():
    code = "import sys; from harness.cli import main; sys.argv = ['harness', *sys.argv[1:]]\n"
    code += (
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, 'torch' in sys.modules)"
    )
    words = [*ASKED, "--set", "batch_size=100000"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout.split() == [str(int(ExitCode.USAGE)), "False"], done.stderr
