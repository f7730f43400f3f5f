"""The cache of nodes that keeps its newest, and never drops what somebody holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.harness.state import NodeLost, State, Workshop
from benchmark.harness.worker import claim


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Five nodes, a to e, each a second newer than the one before."""
    shop = Workshop(tmp_path)
    for number, node in enumerate("abcde"):
        shop.save(node, State())
        used(shop, node, 1000 + number)
    return shop


def used(shop: Workshop, node: str, seconds: int) -> None:
    os.utime(shop.path(node) / "node.json", (seconds, seconds))


def there(shop: Workshop) -> str:
    return "".join(sorted(folder.name for folder in shop.folder.glob("*")))


def test_the_newest_stay_and_reading_a_node_makes_it_new(shop: Workshop) -> None:
    shop.load("a")
    assert shop.keep_newest(3) == ["b", "c"]
    assert there(shop) == "ade"
    assert shop.keep_newest(3) == []
    assert shop.load("a").ledger.steps == 0
    with pytest.raises(NodeLost):
        shop.load("b")
    assert not shop.path("b").exists()  # asking for it does not bring it back


def test_what_is_to_be_kept_stays_besides(shop: Workshop) -> None:
    assert shop.keep_newest(1, keep={"a", "b", "no such node"}) == ["c", "d"]
    assert there(shop) == "abe"
    assert shop.keep_newest(0) == ["a", "b", "e"]
    assert there(shop) == ""


def test_an_empty_cache_is_fine(tmp_path: Path) -> None:
    assert Workshop(tmp_path).keep_newest(2) == []


def test_what_a_dead_process_left_half_written_goes_and_counts_for_nothing(shop: Workshop) -> None:
    (shop.path("x")).mkdir()
    (shop.path("x") / "model.safetensors").write_bytes(b"half")
    assert shop.keep_newest(5) == ["x"]
    assert there(shop) == "abcde"


def test_a_node_that_is_used_between_the_look_and_the_claim_stays(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(run: Path, node: str) -> object:
        used(shop, "a", 2000)
        return claim(run, node)

    monkeypatch.setattr("benchmark.harness.worker.claim", slow)
    assert shop.keep_newest(3) == ["b"]
    assert there(shop) == "acde"


HOLD = """
import sys
from pathlib import Path
from benchmark.harness.worker import claim
with claim(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_node_that_another_process_holds_stays_until_it_is_given_back(shop: Workshop) -> None:
    command = [sys.executable, "-c", HOLD, str(shop.run), "a"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with claim(shop.run, "b"):  # and one that this process holds by another claim
        assert shop.keep_newest(2) == ["c"]
    assert there(shop) == "abde"
    holder.communicate()
    assert shop.keep_newest(2) == ["a", "b"]
