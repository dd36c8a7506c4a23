# `just` lists these.
_default:
    @just --list

# The main job on the built-in demo, without a GPU or a key.
demo:
    uv run harness run --method seva --bench mmvet,pope

# The default suite.
test *args:
    uv run pytest {{args}}

# Lint, format and types.
lint:
    uv run ruff check --fix .
    uv run ruff format .
    uv run mypy

# The documentation site, built strictly into site/.
docs:
    uv run --group docs mkdocs build --strict

# Everything a change must pass.
ci:
    bash .ci/run
