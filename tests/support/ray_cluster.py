"""A real Ray of this machine, with two cores and two GPUs that it believes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MISSING = "ray is not installed: uv run --with ray pytest ..."


@contextmanager
def ray_cluster() -> Iterator[str]:
    """Start it, give its address, and end it; the tests are skipped where Ray is not installed."""
    ray = pytest.importorskip("ray", reason=MISSING)
    for attempt in range(4):
        try:
            parts = {"num_cpus": 2, "num_gpus": 2, "include_dashboard": False}
            context = ray.init(**parts, log_to_driver=False)
            break
        except Exception as error:  # on a busy machine its own limit of 30 seconds is too short
            if attempt == 3 or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
    yield context.address_info["address"]
    ray.shutdown()
