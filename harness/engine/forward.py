"""Passes of the decoder over packed tokens: beginnings, prompts, next tokens. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.engine.attention import Fresh, Grid, Layout, Own, attending
from harness.engine.inputs import Prepared, network_inputs
from harness.engine.loading import Loaded
from harness.engine.prefixes import Job, Node, Segment, State, joined, stacked
from harness.engine.vision import Features, Recent

if TYPE_CHECKING:
    import torch


_TOKENS = 4096
"""Most tokens in one pass over shared beginnings; more gains nothing and takes memory."""


class Passes:
    """Runs the language model of one loaded network.

    Attributes:
        fixed: whether long answers are decoded in steps of fixed shape, which a GPU replays.
        computed: how many tokens it ran.
    """

    def __init__(self, loaded: Loaded, features: Features, budget: int) -> None:
        """Find decoder and head; keep at most ``budget`` bytes of shared beginnings."""
        self._loaded = loaded
        self._features = features
        self.decoder: Any = loaded.network.get_decoder()
        self._embed: Any = loaded.network.get_input_embeddings()
        self._head: Any = loaded.network.get_output_embeddings()
        config = self.decoder.config
        self.layers = int(config.num_hidden_layers)
        heads = int(config.num_attention_heads)
        self._kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        self._width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        self._image_token: Any = getattr(loaded.network.config, "image_token_id", None)
        self._rotary = _has_axes(config)
        self.segments: Recent[Segment] = Recent(budget)
        self._positions: Recent[torch.Tensor] = Recent(64 << 20)
        self.computed = 0
        self.fixed = loaded.device.type == "cuda"

    def clear(self) -> None:
        """Forget all shared beginnings."""
        self.segments.clear()

    def begin(self, jobs: Sequence[Job], prompts: Sequence[Prepared]) -> tuple[State, Any]:
        """Compute the jobs' prompts and return the state and the logits after each.

        Jobs of one node lie together; they point into ``prompts``, all requests of the window.

        Returns:
            The state with one row per job, and float logits ``(jobs, vocabulary)``.
        """
        import torch

        nodes = list(dict.fromkeys(job.node for job in jobs))
        held = self._ensure([node for node in nodes if node is not None], prompts)
        prefixes = stacked([joined(node, held) for node in nodes if node is not None])
        groups = [nodes.index(job.node) for job in jobs]
        own = self._own(len(jobs))
        layout = Grid(prefixes, own, groups, [job.rest for job in jobs])
        parts = [(prompts[job.members[0]], job.shared, len(job.symbols)) for job in jobs]
        hidden = self._run(layout, *self._inputs(parts))
        ends = torch.tensor([job.rest for job in jobs]).cumsum(0) - 1
        nexts = [self._next_position(prompts[job.members[0]]) for job in jobs]
        return State(prefixes, own, groups, nexts), self._head(hidden[ends.to(self._device)])

    def advance(self, state: State, tokens: Sequence[Sequence[int]]) -> tuple[State, torch.Tensor]:
        """Feed each row at least one token.

        Returns:
            The state afterwards, which replaces the one given, and the logits after every
            token, packed: ``(T, vocabulary)``.
        """
        import torch

        counts = [len(part) for part in tokens]
        layout = Grid(state.prefixes, state.own, state.groups, counts)
        ids = torch.tensor([token for part in tokens for token in part], device=self._device)
        places = [
            start + step
            for start, count in zip(state.positions, counts, strict=True)
            for step in range(count)
        ]
        logits = self.feed(layout, ids, torch.tensor(places, device=self._device))
        nexts = [start + count for start, count in zip(state.positions, counts, strict=True)]
        return replace(state, positions=nexts), logits

    def feed(self, layout: Layout, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Run text tokens ``(T,)`` at their positions; return the logits ``(T, vocabulary)``."""
        positions = places.expand(3, -1) if self._rotary else places
        logits: torch.Tensor = self._head(self._run(layout, self._embed(ids), positions))
        return logits

    @property
    def _device(self) -> Any:
        return self._loaded.device

    def _own(self, rows: int) -> Own:
        return Own.empty(self.layers, (rows, self._kv_heads, self._width), self._embed.weight[:0])

    def _ensure(self, nodes: Sequence[Node], prompts: Sequence[Prepared]) -> dict[Any, Segment]:
        """Return the segments of all nodes on the chains, computing the unknown level by level."""
        needed = list(dict.fromkeys(part for node in nodes for part in node.chain()))
        held: dict[Any, Segment] = {}
        levels: dict[int, list[Node]] = {}
        for node in needed:
            known = self.segments.get(node.symbols)
            if known is not None:
                held[node.symbols] = known
            else:
                levels.setdefault(len(node.chain()), []).append(node)
        for depth in sorted(levels):
            group: list[Node] = []
            for node in levels[depth]:
                if group and sum(len(n.symbols) - n.start for n in [*group, node]) > _TOKENS:
                    self._compute(group, prompts, held)
                    group = []
                group.append(node)
            self._compute(group, prompts, held)
        return held

    def _compute(
        self, nodes: Sequence[Node], prompts: Sequence[Prepared], held: dict[Any, Segment]
    ) -> None:
        counts = [len(node.symbols) - node.start for node in nodes]
        parts = [(prompts[node.example], node.start, len(node.symbols)) for node in nodes]
        inputs = self._inputs(parts)
        if nodes[0].parent is None:
            fresh = Fresh(counts)
            self._run(fresh, *inputs)
            keys, values = fresh.keys, fresh.values
        else:
            parents = list(dict.fromkeys(node.parent for node in nodes))
            prefixes = stacked([joined(parent, held) for parent in parents if parent])
            own = self._own(len(nodes))
            order = [parents.index(node.parent) for node in nodes]
            self._run(Grid(prefixes, own, order, counts), *inputs)
            keys = [_rows_of(layer, counts) for layer in own.keys]
            values = [_rows_of(layer, counts) for layer in own.values]
        for row, node in enumerate(nodes):
            segment = Segment([layer[row] for layer in keys], [layer[row] for layer in values])
            held[node.symbols] = segment
            self.segments.put(node.symbols, segment, segment.nbytes)

    def _inputs(self, parts: Sequence[tuple[Prepared, int, int]]) -> tuple[Any, Any]:
        """Return packed embeddings ``(T, hidden)`` and positions ``(T,)`` or ``(3, T)``.

        Args:
            parts: a prompt and the first and last-plus-one token of it that are needed.
        """
        import torch

        ids = torch.tensor([token for prompt, a, b in parts for token in prompt.ids[a:b]])
        embedded = self._embed(ids.to(self._device))
        pictured = [part for part in parts if self._image_token in part[0].ids[part[1] : part[2]]]
        if pictured:
            features = self._features.of([pic for part in pictured for pic in part[0].pictures])
            wanted = []
            for prompt, a, b in pictured:
                before = prompt.ids[:a].count(self._image_token)
                count = prompt.ids[a:b].count(self._image_token)
                whole = torch.cat([features[pictures.key] for pictures in prompt.pictures])
                if len(whole) != prompt.ids.count(self._image_token):
                    raise ValueError(
                        f"{len(whole)} image features for "
                        f"{prompt.ids.count(self._image_token)} image tokens"
                    )
                wanted.append(whole[before : before + count])
            place = ids.eq(self._image_token).nonzero()[:, 0].to(self._device)
            embedded = embedded.index_copy(0, place, torch.cat(wanted).to(embedded.dtype))
        if self._rotary:
            spans = [self._axes(prompt)[:, a:b] for prompt, a, b in parts]
            return embedded, torch.cat(spans, 1)
        places = [torch.arange(a, b) for _, a, b in parts]
        return embedded, torch.cat(places).to(self._device)

    def _next_position(self, prompt: Prepared) -> int:
        if self._rotary:
            return int(self._axes(prompt).max()) + 1
        return len(prompt.ids)

    def _axes(self, prompt: Prepared) -> torch.Tensor:
        """Return the three position axes ``(3, tokens)`` that the family itself computes.

        The family's own forward is run up to its decoder, where the positions are taken.
        """
        import torch

        known = self._positions.get(prompt)
        if known is not None:
            return known
        inputs = network_inputs(self._loaded, prompt)
        if inputs.pop("pixel_values", None) is not None:
            keys = self._features.of(prompt.pictures)
            inputs["mm_encoder_outputs"] = {"image": _Encoded(list(keys.values()))}
        seen: list[torch.Tensor | None] = []

        def take(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            seen.append(kwargs["position_ids"])
            raise _TakenError

        hook = self.decoder.register_forward_pre_hook(take, with_kwargs=True)
        try:
            self._loaded.network.base_model(**inputs)
        except _TakenError:
            pass
        finally:
            hook.remove()
        length = len(prompt.ids)
        plain = torch.arange(length, device=self._device).expand(3, 1, length)
        positions = (plain if seen[0] is None else seen[0])[-3:, 0]
        self._positions.put(prompt, positions, positions.nbytes)
        return positions

    def _run(self, layout: Layout, embedded: torch.Tensor, positions: torch.Tensor) -> Any:
        """Run the decoder over one packed sequence; return ``(T, hidden)``."""
        import torch

        self.computed += len(embedded)
        # A four-dimensional mask is handed through unread, so that none is built.
        unread = torch.zeros((1, 1, 1, 1), dtype=torch.bool, device=embedded.device)
        with attending(self.decoder.config, layout):
            output = self.decoder(
                inputs_embeds=embedded[None],
                position_ids=positions[..., None, :],
                attention_mask=unread,
                use_cache=False,
            )
        return output.last_hidden_state[0]


class _TakenError(Exception):
    """The family's own forward has come to its decoder."""


class _Encoded:
    """Image features in the form in which a family's forward takes encoded images."""

    def __init__(self, parts: list[torch.Tensor]) -> None:
        self.pooler_output = parts


def _rows_of(layer: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
    return [layer[row, :, :count].contiguous() for row, count in enumerate(counts)]


def _has_axes(config: Any) -> bool:
    """Tell whether positions have three axes (time, height, width) as in Qwen2-VL."""
    rope = getattr(config, "rope_parameters", None) or {}
    return "mrope_section" in rope
