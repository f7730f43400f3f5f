"""Whisper as prunable structure: which matrices may be pruned, and which of their entries stand or fall together.

A group's member is an attention head (rows of q, k and v, columns of out) or an FFN neuron (a row of fc1, a column of
fc2). Two coarser kinds hold no matrix by themselves: the layers of a stack, and the tokens of the vocabulary (rows of
the tied embedding, which is not prunable but may be trimmed). Convolutions, norms and positions carry the residual
width and stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

from benchmark.errors import SpecError, nearest

if TYPE_CHECKING:
    from torch import nn
    from transformers import WhisperConfig

Stack = Literal["encoder", "decoder"]
Block = Literal["self_attn", "encoder_attn", "ffn"]
MatrixKind = Literal["q", "k", "v", "out", "fc1", "fc2"]
GroupKind = Literal["head", "ffn_neuron", "layer", "token"]

_STACKS: tuple[Stack, ...] = ("encoder", "decoder")
_ATTENTIONS: dict[Stack, tuple[Block, ...]] = {"encoder": ("self_attn",), "decoder": ("self_attn", "encoder_attn")}
_ATTENTION_KINDS: tuple[MatrixKind, ...] = ("q", "k", "v", "out")
_FFN_KINDS: tuple[MatrixKind, ...] = ("fc1", "fc2")
TOKENS = "model.decoder.embed_tokens"
"""Key of the vocabulary; the layers of a stack have the key ``model.encoder.layers`` or ``model.decoder.layers``."""
_LAST_OF_A_PAIR = frozenset({"out", "fc2"})  # their *columns* read what the group's members produce


@dataclass(frozen=True)
class Matrix:
    """One prunable weight matrix; ``group`` and ``axis`` say whose members its rows (0) or columns (1) are."""

    name: str
    """Parameter name, e.g. ``model.encoder.layers.0.self_attn.q_proj.weight``."""
    stack: Stack
    layer: int
    block: Block
    kind: MatrixKind
    shape: tuple[int, int]
    """``(out, in)``, as ``torch.nn.Linear`` stores it."""
    group: str
    axis: Literal[0, 1]
    width: int
    """Entries along ``axis`` that one member owns: the head dimension, or 1 for a neuron."""
    bias: str | None
    """The bias that the same members index (q, v, fc1); None for k, out and fc2."""

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.shape[0] * self.shape[1]

    @property
    def layers(self) -> str:
        """Key of the stack of layers it lies in."""
        return f"model.{self.stack}.layers"

    @property
    def module(self) -> str:
        """Name of the Linear module."""
        return self.name.removesuffix(".weight")


@dataclass(frozen=True)
class Group:
    """Heads of one attention, neurons of one FFN, layers of one stack, or the tokens of the vocabulary."""

    key: str
    kind: GroupKind
    stack: Stack
    layer: int
    count: int
    width: int
    weights: int
    """Prunable weights of one member over all its matrices (a token has none)."""


@dataclass(frozen=True)
class Structure:
    """All prunable matrices and groups of one model, in the order of its layers (encoder first)."""

    matrices: tuple[Matrix, ...]
    groups: tuple[Group, ...]
    """Heads and neurons: the groups that matrices run through."""
    stacks: tuple[Group, ...] = ()
    """The layers of the encoder, and those of the decoder."""
    tokens: Group | None = None
    """The vocabulary."""

    @classmethod
    def of(cls, model: nn.Module) -> Structure:
        """Read the structure off a ``WhisperForConditionalGeneration``: dense, or already shrunk unevenly.

        Raises:
            SpecError: the model is not a Whisper with a language-model head, or was made of other modules than plain
                Linear layers already (factorised, gathering, quantised).
        """
        from transformers import WhisperForConditionalGeneration

        if not isinstance(model, WhisperForConditionalGeneration):
            raise SpecError(
                f"{type(model).__name__} is not a WhisperForConditionalGeneration; nothing else is prunable"
            )
        matrices: list[Matrix] = []
        groups: list[Group] = []
        for stack, layer, prefix, module in _layers(model):
            for block in _ATTENTIONS[stack]:
                attention = module.get_submodule(block)
                width = cast(int, attention.head_dim)
                key = f"{prefix}.{block}"
                found = [_matrix(attention, key, k, f"{k}_proj", stack, layer, block, width) for k in _ATTENTION_KINDS]
                groups.append(_group(key, "head", found))
                matrices += found
            key = f"{prefix}.ffn"
            found = [_matrix(module, key, kind, kind, stack, layer, "ffn", 1) for kind in _FFN_KINDS]
            groups.append(_group(key, "ffn_neuron", found))
            matrices += found
        stacks = tuple(_stack(model, stack, matrices) for stack in _STACKS)
        vocabulary = Group(TOKENS, "token", "decoder", 0, model.config.vocab_size, 1, 0)
        return cls(tuple(matrices), tuple(groups), stacks, vocabulary)

    @classmethod
    def from_config(cls, config: WhisperConfig) -> Structure:
        """Return the structure of the models of a configuration: no weight is made or read."""
        import torch
        from transformers import WhisperForConditionalGeneration

        with torch.device("meta"):
            return cls.of(WhisperForConditionalGeneration(config))

    @cached_property
    def prunable(self) -> int:
        """Number of weights in all prunable matrices: the denominator of nominal and stored budgets."""
        return sum(matrix.size for matrix in self.matrices)

    def matrix(self, name: str) -> Matrix:
        """Return the matrix of that parameter name.

        Raises:
            SpecError: this model has no such matrix.
        """
        if name not in self._by_name:
            raise SpecError(f"no prunable matrix {name!r} in this model{_hint(name, list(self._by_name))}")
        return self._by_name[name]

    def group(self, key: str) -> Group:
        """Return the group of that key.

        Raises:
            SpecError: this model has no such group.
        """
        if key not in self._by_key:
            raise SpecError(f"no structural group {key!r} in this model{_hint(key, list(self._by_key))}")
        return self._by_key[key]

    def matrices_of(self, key: str) -> tuple[Matrix, ...]:
        """Return the matrices that a group's members run through.

        Raises:
            SpecError: this model has no such group.
        """
        self.group(key)
        return self._members[key]

    @cached_property
    def _by_name(self) -> dict[str, Matrix]:
        return {matrix.name: matrix for matrix in self.matrices}

    @cached_property
    def _by_key(self) -> dict[str, Group]:
        coarse = (*self.stacks, self.tokens) if self.tokens else self.stacks
        return {group.key: group for group in (*self.groups, *coarse)}

    @cached_property
    def _members(self) -> dict[str, tuple[Matrix, ...]]:
        found = {g.key: tuple(matrix for matrix in self.matrices if matrix.group == g.key) for g in self.groups}
        return found | {g.key: tuple(m for m in self.matrices if m.layers == g.key) for g in self.stacks}


def _layers(model: nn.Module) -> Iterator[tuple[Stack, int, str, nn.Module]]:
    for stack in _STACKS:
        for layer, module in enumerate(model.get_submodule(f"model.{stack}.layers").children()):
            yield stack, layer, f"model.{stack}.layers.{layer}", module


def _matrix(
    parent: nn.Module, key: str, kind: MatrixKind, child: str, stack: Stack, layer: int, block: Block, width: int
) -> Matrix:
    from torch import nn

    linear = parent.get_submodule(child)
    if not isinstance(linear, nn.Linear):
        raise SpecError(
            f"{key.removesuffix('.ffn')}.{child} is a {type(linear).__name__} and no plain Linear layer any more; "
            "prune the model before its layers are factorised, made compact or quantised"
        )
    weight = linear.weight
    axis: Literal[0, 1] = 1 if kind in _LAST_OF_A_PAIR else 0
    # fc1 and fc2 hang directly on the layer; "ffn" is a name of ours, not a module.
    prefix = f"{key.removesuffix('.ffn')}.{child}"
    has_bias = axis == 0 and parent.get_submodule(child).bias is not None
    shape = (weight.shape[0], weight.shape[1])
    return Matrix(
        f"{prefix}.weight", stack, layer, block, kind, shape, key, axis, width, f"{prefix}.bias" if has_bias else None
    )


def _group(key: str, kind: GroupKind, matrices: list[Matrix]) -> Group:
    first = matrices[0]
    count = first.shape[first.axis] // first.width
    return Group(key, kind, first.stack, first.layer, count, first.width, sum(m.size for m in matrices) // count)


def _stack(model: nn.Module, stack: Stack, matrices: list[Matrix]) -> Group:
    count = len(model.get_submodule(f"model.{stack}.layers"))  # type: ignore[arg-type]
    weights = sum(matrix.size for matrix in matrices if matrix.stack == stack)
    return Group(f"model.{stack}.layers", "layer", stack, 0, count, 1, weights // count)


def _hint(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    return close if close.startswith("; did you mean") else ""  # a list of hundreds of names helps nobody
