"""``prunebench doctor``: what this installation consists of, and what is broken in it."""

from __future__ import annotations

import importlib.util
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

import benchmark
from benchmark.api import Normalizer
from benchmark.cli._plugins import PLURALS
from benchmark.forked import cores
from benchmark.registry import REGISTRY

_PACKAGES = (
    *("torch", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "numpy", "pandas", "pyarrow"),
    *("jiwer", "ptflops", "torch-pruning", "optuna", "seaborn", "espeakng-loader", "soundfile", "pydantic", "typer"),
)
_TRIED = ("", "A word, 12 and more.")
"""Texts that every normaliser is given."""
_OURS = ("methods", "normalizers", "reports", "studies")


def doctor() -> None:
    """Show versions, device, cache, speech synthesis and plug-ins; exit code 1 when something is broken."""
    faults = [fault for part in _PARTS for fault in part()]
    print()
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{len(faults)} fault(s)" if faults else "all is well")
    raise typer.Exit(1 if faults else 0)


def _say(key: str, value: object) -> None:
    print(f"{key:16} {value}")


def _versions() -> Iterator[str]:
    _say("prunebench", f"{benchmark.__version__} in {Path(benchmark.__file__).parent}")
    _say("python", f"{platform.python_version()} at {sys.executable}")
    for name in _PACKAGES:
        try:
            _say(name, version(name))
        except PackageNotFoundError:
            _say(name, "MISSING")
            yield f"package {name} is not installed; install it with pip"


def _machine() -> Iterator[str]:
    """The device that is used, and the cores."""
    _say("system", f"{platform.system()} {platform.machine()}, {cores()} usable core(s)")
    try:
        import torch
    except Exception as error:  # a broken build fails in many ways, and all of them belong into the report
        yield f"torch cannot be imported: {type(error).__name__}: {error}"
        return
    if torch.cuda.is_available():
        _say("device", f"cuda: {torch.cuda.get_device_name(0)}")
    else:
        _say("device", "cpu")
    _say("threads", torch.get_num_threads())


def _cache() -> Iterator[str]:
    """The folder for what can be made again, and whether it can be written."""
    from benchmark.corpora._cache import VARIABLE, cache_folder

    folder = cache_folder()
    _say("cache", f"{folder} (set {VARIABLE} to move it)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        yield f"cache folder {folder} cannot be written ({error.strerror}); set {VARIABLE} to a folder you may write to"


def _speech() -> Iterator[str]:
    """Whether espeak-ng starts, in its process of its own."""
    from benchmark.corpora._speech import Voice
    from benchmark.errors import DataError

    try:
        with Voice("hi"):
            _say("espeak-ng", "works")
    except (DataError, OSError) as error:
        _say("espeak-ng", "DOES NOT WORK")
        yield f"no synthetic speech can be made: {error}"


def _folders() -> Iterator[str]:
    """Whether the five packages come from one place: their names are common, and another could shadow one."""
    home = Path(benchmark.__file__).resolve().parents[1]
    for name in _OURS:
        found = importlib.util.find_spec(name)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin is None or origin.parents[1] != home:
            yield f"package {name!r} is {origin or 'nowhere'} and not the one beside {home / 'benchmark'}; remove it"


def _plugins() -> Iterator[str]:
    """What is registered, by kind, and what could not be loaded."""
    for plural, kind in PLURALS.items():
        _say(plural, ", ".join(REGISTRY.names(kind)) or "none")
    _say("outside", ", ".join(REGISTRY.outside) or "no installed plug-in package")
    for failure in REGISTRY.failures:
        yield f"plug-in {failure.source} could not be loaded: {' '.join(failure.error.split())}"


def _normalizers() -> Iterator[str]:
    """Whether each normaliser can be made, gives text for text, and has its languages for itself."""
    ours: dict[str, list[str]] = {}
    references: dict[str, list[str]] = {}
    for name, plugin in REGISTRY.plugins("normalizer"):
        owner = f"{name} ({REGISTRY.owner('normalizer', name)})"
        fault = _tried(plugin)
        if fault is not None:
            yield f"normalizer {owner} does not work: {' '.join(fault.split())}"
        for code in plugin.languages:
            (references if plugin.reference else ours).setdefault(code, []).append(owner)
    for code, owners in sorted((references | ours).items()):  # a reference counts only where there is no other
        if len(owners) > 1:
            yield (
                f"language {code!r} has several normalizers: {', '.join(owners)}; auto takes none of them: uninstall "
                "all but one, or choose one by name with --normalizer"
            )


def _tried(plugin: type[Normalizer]) -> str | None:
    """Return what is wrong with a normaliser, in its author's words where they are there."""
    try:
        normalizer = plugin()
        for text in _TRIED:
            normalised: object = normalizer(text)
            if not isinstance(normalised, str):
                return f"for {text!r} it returns {normalised!r}, which is no text"
        normalizer.signature()
    except (Exception, SystemExit) as error:  # a plug-in's fault, whatever it is, must spare the others
        return f"{type(error).__name__}: {error}"
    return None


_PARTS = (_versions, _machine, _cache, _speech, _folders, _plugins, _normalizers)


@REGISTRY.register("verb", "doctor")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)
