"""A signature means one behaviour: what each normaliser makes of one text, as a hash."""

from __future__ import annotations

import pytest

from benchmark.registry import REGISTRY
from tests.golden.write_normalizer_hashes import COMMAND, TEXT, built_in, fingerprint, known


@pytest.mark.parametrize("name", built_in())
def test_a_signature_means_one_behaviour(name: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    signature = normalizer.signature()
    hashes = known()
    assert signature in hashes, f"{signature} has no hash: run `{COMMAND}`, and commit the file that it writes"
    assert fingerprint(normalizer) == hashes[signature], (
        f"{name} behaves differently under the signature {signature}: raise `version` of its class and run `{COMMAND}`"
    )


def test_every_hash_belongs_to_a_normaliser() -> None:
    present = {REGISTRY.get("normalizer", name).signature() for name in built_in()}
    gone = sorted(set(known()) - present)
    assert not gone, f"no normaliser has the signature {', '.join(gone)} any more: run `{COMMAND}`"


def test_the_hash_sees_a_change() -> None:
    plain = REGISTRY.get("normalizer", "default")
    assert fingerprint(plain) == fingerprint(REGISTRY.get("normalizer", "default"))
    for rule in plain.program:
        switched = REGISTRY.get("normalizer", "default", **{rule.name: False})
        assert fingerprint(switched) != fingerprint(plain), f"the text of {TEXT.name} does not show rule {rule.name}"
