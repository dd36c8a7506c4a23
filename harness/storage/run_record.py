"""``settings.json`` of a run folder: what was asked, and what it came to on that machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, pip
from harness.records import fingerprint
from harness.storage.journal import write_json
from harness.storage.reading import read_json

NAME = "settings.json"
VERSION = 1
_ONLY_WHERE_NEEDED = ("imported", "source", "seeds")


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says of its own making.

    Attributes:
        asked: the settings as the user wrote them.
        options: the method's options in full.
        inputs: fingerprints of what the answers and weights depend on: ``method``, ``prompts``,
            and ``data:NAME`` and ``bench:NAME`` of every benchmark.
        measured: ``model`` and ``engine``, which decide the answers too.
        imported: metrics with their direction, by benchmark, where another harness measured them.
        source: that harness.
        seeds: the folders of the runs that the folder holds together, where there are several.
        version: of this record; files written before it existed have none and read the same.
    """

    asked: Mapping[str, Any]
    inputs: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, str] = field(default_factory=dict)
    imported: Mapping[str, Mapping[str, bool | None]] = field(default_factory=dict)
    source: str = ""
    seeds: tuple[str, ...] = ()
    version: int = VERSION

    @property
    def data(self) -> dict[str, str]:
        """The fingerprint of each benchmark's data."""
        start = "data:"
        return {
            key.removeprefix(start): value
            for key, value in self.inputs.items()
            if key.startswith(start)
        }

    @property
    def benches(self) -> tuple[str, ...]:
        """The benchmarks and suites that were asked for."""
        return tuple(map(str, self.asked.get("benches", ())))

    @property
    def reports(self) -> tuple[str, ...]:
        """The reports that were asked for."""
        return tuple(map(str, self.asked.get("reports", ())))

    @property
    def arms(self) -> tuple[str, str]:
        """What stands for before and after, whatever rows and seeds: equal for equal models.

        A run that measured one model has that model in both places.
        """
        asked = (self.asked.get("model"), self.source)
        model = self.measured.get("model") or fingerprint(*asked)
        method = self.inputs.get("method") or self.asked.get("method")
        if not method:
            return model, model
        return model, fingerprint(model, method, self.inputs.get("prompts"), self.options)

    @property
    def engine(self) -> str:
        """The identity of the engine that answered; empty where it was the engine ``own``."""
        engine = self.measured.get("engine", "")
        return engine if " " in engine else ""  # of the own one, the version alone is kept

    def write(self, folder: Path) -> None:
        """Write ``settings.json`` into a run folder, whole or not at all.

        Raises:
            HarnessError: if the file cannot be written.
        """
        content = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for name in _ONLY_WHERE_NEEDED:
            if not content[name]:
                del content[name]
        if self.imported:  # as lists, which keep their order in a file with sorted keys
            content["imported"] = {
                name: list(metrics.items()) for name, metrics in self.imported.items()
            }
        write_json(folder / NAME, content)

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read ``settings.json`` of a run folder, of this version or the one before.

        Raises:
            HarnessError: if it is absent or damaged, or was written by a later version.
        """
        file = folder / NAME
        try:
            found = read_json(file)
            record = cls(
                asked=_mapping(found["asked"]),
                inputs=_texts(found["inputs"]),
                options=_mapping(found.get("options", {})),
                measured=_texts(found.get("measured", {})),
                imported={
                    name: dict(metrics) for name, metrics in found.get("imported", {}).items()
                },
                source=str(found.get("source", "")),
                seeds=tuple(map(str, found.get("seeds", ()))),
                version=int(found.get("version", VERSION)),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HarnessError(
                f"{file} is damaged or was written by another version ({error}). Run the same "
                "harness command again; it writes the file anew."
            ) from error
        if record.version > VERSION:
            raise HarnessError(
                f"{file} was written by a later version of vlm-harness (record {record.version}, "
                f"this one knows {VERSION}). Upgrade with: {pip('install')} --upgrade vlm-harness"
            )
        return record


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is not an object")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {key: str(each) for key, each in _mapping(value).items()}
