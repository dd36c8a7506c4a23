"""Room 6: hand the finished comparison to each report that was asked for."""

from __future__ import annotations
