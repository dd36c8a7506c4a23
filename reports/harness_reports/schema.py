"""The JSON schema of ``comparison.json``, made from the records themselves.

``uv run python -m harness_reports.schema > docs/report.schema.json`` writes it anew.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any

from harness.compare import VERSION
from harness.report import ReportInput
from harness_reports.json import PARTS, SHOWN_ONLY


def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of what :mod:`harness_reports.json` writes."""
    from pydantic import TypeAdapter

    run = TypeAdapter(ReportInput).json_schema(mode="serialization")
    records = run.pop("$defs")
    parts = {name: run["properties"].pop(name) for name in PARTS}
    for name in SHOWN_ONLY:
        del run["properties"][name]
    later = {each.name for each in fields(ReportInput) if each.metadata.get("later")}
    run["required"] = sorted(run["properties"].keys() - later)
    run["title"], run["description"] = "Run", "Where the comparison comes from."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": dict(sorted(_reached(records, [run, parts]).items())),
        "title": f"comparison.json, version {VERSION}",
        "type": "object",
        "properties": {**parts, "run": run},
        "required": ["clock", "comparison", "levels", "run"],
        "additionalProperties": False,
    }


def _reached(records: dict[str, Any], roots: list[Any]) -> dict[str, Any]:
    """Return the records that the roots refer to, directly or through another one."""
    found: dict[str, Any] = {}
    waiting = json.dumps(roots)
    while new := [n for n in records if f'"#/$defs/{n}"' in waiting and n not in found]:
        found |= {name: records[name] for name in new}
        waiting = json.dumps([records[name] for name in new])
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
