"""What holds the layout: packages with one face, arrows one way, nothing heavy at import."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HARNESS = ROOT / "harness"
PLUGINS = ("harness_benchmarks", "harness_reports", "harness_tinyworld", "harness_seva")
LONGEST_FILE, LONGEST_FUNCTION = 400, 75
MOST_ENTRIES = 35
"""One more for protocol: engine, model, training and benchmarks all rest on it. One for preflight:
it asks methods, pairs and training, and stands beside the run that it comes before. One for
jobs: they are commands, so they rest on nothing that a command is made of."""
HEAVY = {
    "torch": {"engine", "model", "dpo"},
    "transformers": {"engine", "model", "dpo"},
    "peft": {"engine", "dpo"},
    "trl": {"dpo"},
    "lmms_eval": {"benchmark"},
    "openai": {"benchmark", "model", "judge"},
    "huggingface_hub": {"benchmark", "data", "engine", "model", "runs"},
    "datasets": {"benchmark", "data", "dpo", "pairs"},
}
"""Which packages may import a heavy library; outside ``dpo`` only inside of functions."""


READS_PICKLES = {HARNESS / "engine" / "tensor_files.py"}
"""Only behind ``--trust-pickles``, and as tensors only."""


@dataclass(frozen=True)
class Import:
    """One imported name: ``module`` is written after ``from``, ``name`` after ``import``."""

    module: str
    name: str
    line: int


def sources() -> list[Path]:
    return sorted(path for path in HARNESS.rglob("*.py"))


def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package(module: str) -> str:
    """``harness.judge.session`` belongs to the package ``judge``; ``harness.run`` is ``run``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@functools.cache
def imports(path: Path, *, for_types: bool = True) -> tuple[Import, ...]:
    """Every import of a file, those inside functions and (by default) those for types too."""
    nodes = nodes_of(path)
    typed = {
        part
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in node.body
        for part in ast.walk(each)
    }
    return tuple(_imported(node for node in nodes if for_types or node not in typed))


def _imported(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (Import(node.module, alias.name, node.lineno) for alias in node.names)


def is_package(name: str) -> bool:
    return (HARNESS / name / "__init__.py").is_file()


def needs(path: Path) -> set[str]:
    """The other packages and top-level modules of harness/ that a file imports."""
    found = set()
    for each in imports(path):
        if each.module == "harness" and (
            (HARNESS / f"{each.name}.py").exists() or is_package(each.name)
        ):
            found.add(each.name)
        elif each.module.startswith("harness."):
            found.add(package(each.module))
    return found - {package(dotted(path))}


def layers() -> list[list[str]]:
    """Packages and top-level modules from the ground up; type-only imports count too.

    Raises:
        AssertionError: if some import each other.
    """
    graph: dict[str, set[str]] = {}
    for path in sources():
        if dotted(path) not in ("harness", "harness.__main__"):
            graph.setdefault(package(dotted(path)), set()).update(needs(path))
    return sorted_into_layers(graph)


def sorted_into_layers(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the names so that each stands above all that it needs.

    Raises:
        AssertionError: if some need each other.
    """
    done: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(graph):
        free = sorted(
            name for name, below in graph.items() if name not in placed and below <= placed
        )
        rest = {name: sorted(below - placed) for name, below in graph.items() if name not in placed}
        assert free, f"a circle: {rest}"
        done.append(free)
        placed.update(free)
    return done


def test_packages_sort_into_layers_without_a_circle(capsys):
    found = layers()
    with capsys.disabled():
        print("\nlayers: " + " / ".join(" ".join(layer) for layer in found))  # noqa: T201
    at = {name: number for number, layer in enumerate(found) for name in layer}
    assert at["errors"] == 0
    assert at["stats"] < at["compare"] < at["report"] < at["run"] < at["cli"]
    assert at["engine"] < at["model"] < at["dpo"]


def test_the_files_of_a_package_import_each_other_in_no_circle():
    for face in sorted(HARNESS.glob("*/__init__.py")):
        files = {dotted(path): path for path in face.parent.glob("*.py") if path != face}
        sorted_into_layers(
            {
                name: {each.module for each in imports(path)} & files.keys() - {name}
                for name, path in files.items()
            }
        )


def outsiders() -> list[Path]:
    folders = ("harness", "benchmarks", "reports", "plugins")
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "tests" not in path.parts
    ]


def past_a_face(path: Path) -> Iterator[str]:
    own = package(dotted(path)) if path.is_relative_to(HARNESS) else ""
    for each in imports(path):
        parts = each.module.split(".")
        if parts[0] != "harness" or len(parts) < 2 or parts[1] == own:
            continue
        if len(parts) > 2:
            yield f"{path}:{each.line} imports past the face of {parts[1]}"
        elif is_package(parts[1]) and (HARNESS / parts[1] / f"{each.name}.py").exists():
            yield f"{path}:{each.line} imports the module {each.name} of {parts[1]}"


def test_a_package_is_imported_by_its_face():
    """``from harness.judge import x``, never ``from harness.judge.session import x``."""
    assert [told for path in outsiders() for told in past_a_face(path)] == []


@pytest.mark.parametrize("name", sorted(path.parent.name for path in HARNESS.glob("*/__init__.py")))
def test_a_face_names_what_may_be_imported(name):
    """A face holds imports and ``__all__``; every name in it is there."""
    import importlib

    face = importlib.import_module(f"harness.{name}")
    assert all(hasattr(face, each) for each in face.__all__)
    modules = {path.stem for path in (HARNESS / name).glob("*.py")}
    assert not modules & set(face.__all__), "a name hides the module of the same name"


def test_the_core_names_no_plugin_and_each_heavy_library_has_its_packages():
    wrong = []
    for path in sources():
        top = {each.module.split(".")[0] for each in imports(path, for_types=False)}
        refused = set(PLUGINS) | {
            library for library, allowed in HEAVY.items() if package(dotted(path)) not in allowed
        }
        wrong += [f"{path} imports {library}" for library in sorted(top & refused)]
    assert wrong == []


def test_importing_anything_loads_nothing_heavy():
    """Every module alone, in a fresh process, without the heavy libraries."""
    names = [dotted(path) for path in sources() if path.stem != "__main__"]
    inside = [name for name in names if name.startswith("harness.dpo.")]
    light = [name for name in names if name not in inside]
    light += ["harness_benchmarks.pope", "harness_tinyworld"]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'transformers', 'trl', 'lmms_eval', 'datasets', 'scipy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_top_level_can_be_read_in_one_look():
    entries = [path.name for path in HARNESS.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_files_and_functions_stay_small():
    """Aims with a reason: a longer file or function usually has two jobs."""
    long = []
    for path in outsiders():
        if (count := len(path.read_text().splitlines())) > LONGEST_FILE:
            long.append(f"{path.relative_to(ROOT)}: {count} lines")
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.name}: {length} lines")
    assert not long, long


def test_nothing_unsafe_is_called():
    bad = {"pickle", "dill", "joblib", "marshal", "shelve"}
    folders = [each for each in ROOT.iterdir() if each.is_dir() and each.name[0] != "."]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert not {each.module.split(".")[0] for each in imports(path)} & bad, path
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name | ast.Attribute):
                called = ast.unparse(node.func)
                bad_call = called in ("eval", "exec")
                if called == "torch.load":
                    tensors = "weights_only=True" in ast.unparse(node) and path in READS_PICKLES
                    bad_call = not tensors
                assert not bad_call, f"{path.name}:{node.lineno}"
            trusted = [word for word in node.keywords if word.arg == "trust_remote_code"]
            for word in trusted:
                assert ast.unparse(word.value) != "True" or "tests" in path.parts, path


def test_files_pass_one_boundary():
    """JSON and YAML are parsed, and images opened, where depth, size and formats are bounded."""
    free = {"json.loads", "json.load", "yaml.load", "yaml.safe_load"}
    for path in sources():
        if path == HARNESS / "storage" / "reading.py":
            continue
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in free, f"{path.name}:{node.lineno}: use harness.storage.parse_json"
            if called in ("PIL.Image.open", "Image.open"):
                formats = [ast.unparse(word.value) for word in node.keywords]
                assert formats == ["IMAGE_FORMATS"], f"{path.name}:{node.lineno}"
