"""Small models on few cores: threads would wait for each other, so every test uses one."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
"""How fast examples are drawn says how busy the machine is, and nothing of the code."""

# Who starts the tests in the background leaves Ctrl-C ignored, and their commands would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
