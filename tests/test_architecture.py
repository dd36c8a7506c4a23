"""The floors of the house (design: section 2), held by number."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HARNESS = ROOT / "harness"
GUESTS = ("harness_benchmarks", "harness_reports", "harness_tinyworld", "harness_seva")

FLOORS = (
    ("errors", "records", "rounding", "comparison"),
    (
        "settings",
        "folder",
        "store",
        "progress",
        "benchmark",
        "columns",
        "statistics",
        "thumbnails",
        "curves",
        "launch",
        "ask",
        "limit",
        "pace",
    ),
    ("hookspecs", "plugins"),
    ("model", "dpo", "lmms", "judge", "data", "radar", "doctor", "scaffold"),
    ("prompts", "pairs", "train", "evaluate", "compare", "report"),
    ("plan", "runs", "push", "gate", "bundle", "imports", "estimate", "leaderboard"),
    ("run", "seeds", "measure"),
    ("cli", "testing"),
)
"""From the ground up; a module may import from its own floor (rooms excepted) and below."""

ROOMS = ("prompts", "pairs", "train", "evaluate", "compare", "report")
HEAVY = {
    "torch": ("model", "dpo"),
    "transformers": ("model", "dpo"),
    "peft": ("model", "dpo"),
    "trl": ("dpo",),
    "lmms_eval": ("lmms",),
    "openai": ("model", "judge"),
    "huggingface_hub": ("model", "data", "lmms", "push"),
    "datasets": ("lmms", "dpo", "data"),
}


def room(module: str) -> str:
    """``model_engine`` and ``dpo_losses`` belong to the rooms ``model`` and ``dpo``."""
    return module.split("_")[0]


def modules() -> list[Path]:
    return sorted(path for path in HARNESS.glob("*.py") if not path.name.startswith("__"))


def imports(path: Path, *, at_run_time: bool = True) -> set[str]:
    """Names a file imports, those inside functions too; type-only ones left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only and at_run_time:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def house_imports(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imports(path) if name.startswith("harness.")}
    return {name for name in names if (HARNESS / f"{name}.py").exists()}


def floor_of(name: str) -> int:
    for number, floor in enumerate(FLOORS):
        if room(name) in floor:
            return number
    raise AssertionError(f"harness/{name}.py stands on no floor: add its room to FLOORS")


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_arrows_point_down(path):
    here = floor_of(path.stem)
    for name in house_imports(path):
        if room(name) == room(path.stem):
            continue
        assert floor_of(name) <= here, f"{path.name} imports {name} from a floor above"
        if room(path.stem) in ROOMS:
            assert room(name) not in ROOMS, f"the rooms {path.stem} and {name} know each other"


def test_there_is_no_circle():
    graph = {path.stem: house_imports(path) - {path.stem} for path in modules()}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"these import each other: {sorted(set(graph) - done)}"
        done |= free


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_the_house_names_no_guest_and_each_heavy_library_has_one_room(path):
    top = {name.split(".")[0] for name in imports(path)}
    assert not top & set(GUESTS)
    for library, rooms in HEAVY.items():
        if library in top:
            assert room(path.stem) in rooms, f"{path.name} imports {library}"


def test_importing_anything_loads_nothing_heavy():
    """Every module alone, in a fresh process, without the heavy libraries."""
    names = [f"harness.{path.stem}" for path in modules()]
    light = [name for name in names if room(name.split(".")[1]) not in ("model", "dpo")]
    light += ["harness.model", "harness.dpo", "harness_benchmarks.pope", "harness_tinyworld"]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'transformers', 'trl', 'lmms_eval', 'datasets', 'scipy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_front_door_is_complete_sorted_and_small():
    import harness

    assert harness.__all__ == sorted(harness.__all__, key=str)
    assert len(harness.__all__) <= 15
    assert all(hasattr(harness, name) for name in harness.__all__)


def test_rooms_stay_small():
    """Aims with a reason: a longer file or function usually has two jobs."""
    places = [*modules(), *ROOT.glob("benchmarks/harness_*/**/*.py")]
    places += [*ROOT.glob("reports/harness_*/*.py"), *ROOT.glob("plugins/*/harness_*/*.py")]
    long = [
        f"{path.name}: {count} lines"
        for path in places
        if (count := len(path.read_text().splitlines())) > 320
    ]
    for path in places:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 75:
                    long.append(f"{path.name}:{node.name}: {length} lines")
    assert not long, long


def test_nothing_unsafe_is_called():
    bad = {"pickle", "dill", "joblib", "marshal", "shelve"}
    for path in [*ROOT.glob("*/**/*.py")]:
        if any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            continue
        tree = ast.parse(path.read_text())
        assert not {name.split(".")[0] for name in imports(path)} & bad, path
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load"), f"{path.name}:{node.lineno}"
            trusted = [word for word in node.keywords if word.arg == "trust_remote_code"]
            for word in trusted:
                assert ast.unparse(word.value) != "True" or "tests" in path.parts, path
