"""What surgery leaves of a fixed architecture, against fixed parameter counts and the sizes of one head and one neuron.

The expected totals were written down before this test, and what a member owns is worked out below by hand, so no number
here is read off the code that is checked.
"""

from __future__ import annotations

import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmark.measure.counting import parameters
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import GroupKind, Structure
from benchmark.whisper.surgery import shrink

WIDTH, FFN, HEAD = 64, 256, 16
ONE_HEAD = 4 * WIDTH * HEAD + 2 * HEAD  # rows of q, k, v and columns of out; biases of q and v (k has none)
ONE_NEURON = 2 * WIDTH + 1  # a row of fc1 with its bias, a column of fc2
DENSE = 449_792


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=FFN,
        decoder_ffn_dim=FFN,
        vocab_size=1000,
        num_mel_bins=80,
        max_source_positions=1500,
        max_target_positions=448,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    return WhisperForConditionalGeneration(config)


@pytest.mark.parametrize(
    ("kinds", "expected", "removed"),
    [
        ((), DENSE, 0),
        (("head",), 400_256, 6 * 2 * ONE_HEAD),  # 6 attentions, 2 of 4 heads each
        (("ffn_neuron",), 383_744, 4 * 128 * ONE_NEURON),  # 4 FFNs, half of 256 neurons each
        (("head", "ffn_neuron"), 334_208, 6 * 2 * ONE_HEAD + 4 * 128 * ONE_NEURON),
    ],
)
def test_half_the_heads_and_half_the_neurons(
    model: WhisperForConditionalGeneration, kinds: tuple[GroupKind, ...], expected: int, removed: int
) -> None:
    groups = [group for group in Structure.of(model).groups if group.kind in kinds]
    result = shrink(model, Plan({group.key: torch.arange(group.count // 2) for group in groups}))
    assert parameters(result) == expected == DENSE - removed
    assert sum(tensor.numel() for tensor in result.state_dict().values()) - result.proj_out.weight.numel() == expected
