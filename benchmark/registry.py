"""The one door for plug-ins: built-in files, and installed packages with an entry point ``prunebench.plugins``.

A plug-in is a module; importing it registers what is in it. A module that fails to import, or registers what cannot be
used, is remembered with its error (``failures``) and never takes the others down.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar, get_args

from benchmark.api import BudgetKind, Config, Corpus, Method, Model, Normalizer, Plugin, Report, Unit
from benchmark.errors import SpecError, nearest

Kind = Literal["method", "normalizer", "corpus", "model", "report", "verb"]
KINDS: tuple[str, ...] = get_args(Kind)
ENTRY_POINT_GROUP = "prunebench.plugins"
_HOMES: dict[str, tuple[str, ...]] = {
    "method": ("methods",),
    "normalizer": ("normalizers",),
    "corpus": ("benchmark.corpora",),
    "model": ("benchmark.whisper.models",),
    "report": ("reports",),
    "verb": ("benchmark.cli", "reports", "studies"),
}

_BASES: dict[str, type[Plugin]] = {
    "method": Method,
    "normalizer": Normalizer,
    "corpus": Corpus,
    "model": Model,
    "report": Report,
}

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A plug-in that could not be loaded."""

    source: str
    error: str


class Registry:
    """Names to plug-ins, by kind; each home is imported once, on the first question about its kind."""

    def __init__(self) -> None:
        self._plugins: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], str] = {}
        self._contested: dict[tuple[str, str], str] = {}
        self._loaded: set[str] = set()
        self.failures: list[Failure] = []
        self.outside: list[str] = []

    def register(self, kind: str, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under ``kind`` and ``name``.

        Raises:
            SpecError: unknown kind, the name has an owner already (both are named), or this cannot be such a plug-in.
        """
        if kind not in self._plugins:
            raise SpecError(f"unknown kind of plug-in {kind!r}{nearest(kind, KINDS)}")

        def file(plugin: T) -> T:
            owner = f"{getattr(plugin, '__module__', '?')}.{getattr(plugin, '__qualname__', plugin)}"
            fault = _fault(kind, name, plugin)
            if fault is not None:  # here, where its module can be named, and not where somebody lists all plug-ins
                raise SpecError(f"{kind} {name!r} ({owner}) {fault}")
            taken = self._owners.get((kind, name))
            if taken is not None and taken != owner:
                both = f"{kind} {name!r} is claimed by both {taken} and {owner}; rename one of them"
                self._contested[kind, name] = both
                raise SpecError(both)
            self._owners[kind, name] = owner
            self._plugins[kind][name] = plugin
            if isinstance(plugin, type) and "name" not in vars(plugin):
                plugin.name = name  # type: ignore[attr-defined]
            return plugin

        return file

    def names(self, kind: str) -> list[str]:
        """Return the sorted names of a kind."""
        return sorted(self._of(kind))

    def plugins(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield names and plug-ins of a kind, by name; names that two plug-ins claim are left out, see ``clashes``."""
        for name, plugin in sorted(self._of(kind).items()):
            if (kind, name) not in self._contested:
                yield name, plugin

    def clashes(self, kind: str) -> list[str]:
        """Return what to say of each name of a kind that two plug-ins claim."""
        self._of(kind)
        return [said for (of, _), said in sorted(self._contested.items()) if of == kind]

    def lookup(self, kind: str, name: str) -> Any:
        """Return the plug-in itself (a class or function).

        Raises:
            SpecError: no such name (the nearest is suggested), or one that two plug-ins claim.
        """
        plugins = self._of(kind)
        if (kind, name) in self._contested and kind != "verb":  # without its verbs nobody could ask what is wrong
            raise SpecError(self._contested[kind, name])
        if name not in plugins:
            raise SpecError(f"unknown {kind} {name!r}{nearest(name, plugins)}")
        return plugins[name]

    def get(self, kind: str, name: str, /, **options: Any) -> Any:
        """Return an instance, its options checked by its typed config."""
        return self.lookup(kind, name)(**options)

    def owner(self, kind: str, name: str) -> str:
        """Return the dotted name of the class or function that owns ``name``."""
        self.lookup(kind, name)
        return self._owners[kind, name]

    def _of(self, kind: str) -> dict[str, Any]:
        if kind not in self._plugins:
            raise SpecError(f"unknown kind of plug-in {kind!r}{nearest(kind, KINDS)}")
        self._load_homes(_HOMES[kind])
        if "" not in self._loaded:
            self._loaded.add("")
            self._load_outside()
        return self._plugins[kind]

    def _load_homes(self, homes: tuple[str, ...]) -> None:
        for home in homes:
            if home not in self._loaded:
                self._loaded.add(home)
                self._load_home(home)

    def _load_home(self, home: str) -> None:
        package = self._try(home)
        if package is None:
            return
        for module in pkgutil.iter_modules(package.__path__, prefix=f"{home}."):
            if not module.name.rpartition(".")[2].startswith("_"):
                self._try(module.name)

    def _load_outside(self) -> None:
        found = list(entry_points(group=ENTRY_POINT_GROUP))
        if found:  # ours first, all kinds: an outsider must not get a name only because its kind was asked for early
            for homes in _HOMES.values():
                self._load_homes(homes)
        packages: dict[str, str] = {}
        for point in found:
            self.outside.append(f"{point.name} ({point.value})")
            package = point.dist.name if point.dist else point.name
            first = packages.setdefault(point.value, package)
            if first != package:  # only one file of that name is imported, and the other's plug-ins would be missed
                said = f"the packages {first} and {package} have modules of the same name; one of them is not loaded"
                self.failures.append(Failure(point.value, f"{said}; rename one, or uninstall a package"))
            self._try(point.value)

    def _try(self, module: str) -> Any:
        try:
            return importlib.import_module(module)
        except (Exception, SystemExit) as error:  # a broken plug-in is reported by `doctor`, and hides no healthy one
            self.failures.append(Failure(module, f"{type(error).__name__}: {error}"))
            return None


def _fault(kind: str, name: str, plugin: Any) -> str | None:
    """Return why something cannot be a plug-in of a kind, as far as its class shows."""
    base = _BASES.get(kind)
    if base is None:
        return None if callable(plugin) else "is no function that takes the typer app"
    if not isinstance(plugin, type) or not issubclass(plugin, base):
        return f"is no class derived from benchmark.api.{base.__name__}"
    if vars(plugin).get("name", name) != name:
        return f"is registered as {vars(plugin)['name']!r} already; what carries two names would sign with one of them"
    if plugin.__abstractmethods__:
        return f"does not define {', '.join(sorted(plugin.__abstractmethods__))}"
    if not isinstance(plugin.Config, type) or not issubclass(plugin.Config, Config):
        return "has a Config that is not derived from benchmark.api.Config"
    if not isinstance(plugin.version, str) or not plugin.version:
        return f"has version {plugin.version!r}, which is no text such as '1'"
    if issubclass(plugin, Normalizer):
        codes = plugin.languages
        if not isinstance(codes, tuple) or not all(isinstance(code, str) and code for code in codes):
            return f"has languages {codes!r}, which is no tuple of language codes such as ('hi',)"
        if plugin.unit not in get_args(Unit):
            return f"has unit {plugin.unit!r}, which is neither of {', '.join(get_args(Unit))}"
    if issubclass(plugin, Method) and not set(getattr(plugin, "budgets", (None,))) <= set(get_args(BudgetKind)):
        return f"has no budgets, a frozenset of {', '.join(get_args(BudgetKind))}"
    return None


REGISTRY = Registry()
