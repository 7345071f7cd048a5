"""Names of everything that can be added: tasks, methods, metrics, generators, networks, samplers.

A registry reads entry points, lists their names without importing what they name, and loads one
on demand. kdbench's own baselines come through the same door as a stranger's package.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from kdbench.errors import BadSpec, UnknownName
from kdbench.spec import Pair, Spec, Suite, load_toml

T = TypeVar("T")
SpecT = TypeVar("SpecT", bound=Spec)


def _latest(names: list[str], name: str) -> str | None:
    """The newest `name@version` among `names`, where `name` has no version of its own."""
    versions = [
        int(v) for n, _, v in (m.partition("@") for m in names) if n == name and v.isdigit()
    ]
    return f"{name}@{max(versions)}" if versions else None


def _unknown(kind: str, name: str, names: list[str]) -> UnknownName:
    close = difflib.get_close_matches(name, [*names, *(n.partition("@")[0] for n in names)], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UnknownName(f"There is no {kind} {name!r}.{hint} See `kdbench list {kind}s`.")


class Registry(Generic[T]):
    """The objects of one kind, by `name@version`, loaded when asked for.

    Entry points of the group `kdbench.<kind>s` are named `name@version` and point to the object.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _entries(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in _entry_points(f"kdbench.{self.kind}s"):
            if entry.name in found and found[entry.name].value != entry.value:
                raise BadSpec(
                    f"Two packages register the {self.kind} {entry.name!r}: "
                    f"{found[entry.name].value} and {entry.value}. Uninstall or rename one."
                )
            found[entry.name] = entry
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries()))

    def resolve(self, name: str) -> str:
        """The full `name@version` of `name`; without a version, the newest one.

        Raises:
            UnknownName: no such name; the message has the closest one.
        """
        names = list(self)
        full = name if name in names else _latest(names, name)
        if full is None:
            raise _unknown(self.kind, name, names)
        return full

    def module(self, name: str) -> str:
        """The dotted module that defines `name`, read without importing it."""
        return self._entries()[self.resolve(name)].module

    def load(self, name: str) -> T:
        """The object of this name, imported now.

        Raises:
            UnknownName: no such name.
            BadSpec: the package that registers it cannot be imported.
        """
        full = self.resolve(name)
        entry = self._entries()[full]
        try:
            loaded: T = entry.load()
        except (ImportError, AttributeError) as error:
            raise BadSpec(
                f"The {self.kind} {full!r} is registered as {entry.value} and cannot be imported: "
                f"{error}. Reinstall the package that provides it."
            ) from error
        return loaded

    def describe(self) -> list[dict[str, Any]]:
        """One object with `name`, `provides` and `package` for each entry, nothing imported."""
        return [
            {"name": n, "provides": e.value, "package": e.dist.name if e.dist else None}
            for n, e in sorted(self._entries().items())
        ]


class TomlRegistry(Generic[SpecT]):
    """Descriptions in TOML files, in the folders of packages that register themselves.

    Entry points of the group `kdbench.<kind>s` name a package; every `*.toml` in its folder is
    one description.
    """

    def __init__(self, kind: str, model: type[SpecT]) -> None:
        self.kind = kind
        self.model = model
        self._known: dict[Path, tuple[int, SpecT]] = {}
        self.added: dict[str, Path] = {}
        """Files outside any package, named on the command line."""

    def add(self, path: Path) -> SpecT:
        """Read a file of the user's own and know it by its name from now on."""
        spec = self._read(path)
        self.added[path.stem] = path.resolve()
        return spec

    def _files(self) -> dict[str, Path]:
        files: dict[str, Path] = {}
        for entry in _entry_points(f"kdbench.{self.kind}s"):
            folder = _folder(entry)
            for path in sorted(folder.glob("*.toml")) if folder else ():
                if path.stem in files:
                    raise BadSpec(f"Two packages bring a {self.kind} {path.stem!r}: rename one.")
                files[path.stem] = path
        return files | self.added

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files()))

    def missing(self) -> list[str]:
        """Packages that are registered and not installed."""
        entries = _entry_points(f"kdbench.{self.kind}s")
        return [entry.value for entry in entries if _folder(entry) is None]

    def load(self, name: str) -> SpecT:
        """The description of this name (with or without its version), checked.

        Raises:
            UnknownName: no such name, or another version of it.
            BadSpec: its file is wrong.
        """
        stem, _, version = name.partition("@")
        files = self._files()
        if stem not in files:
            raise _unknown(self.kind, name, list(files))
        spec = self._read(files[stem])
        found: Any = spec
        if version and version != str(found.version):
            raise UnknownName(
                f"The {self.kind} {stem!r} is at version {found.version}: drop the @{version}."
            )
        return spec

    def _read(self, path: Path) -> SpecT:
        """The description in a file; read again only when the file has changed."""
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        known = self._known.get(path)
        if known is not None and known[0] == changed:
            return known[1]
        spec = load_toml(path, self.model)
        found: Any = spec
        if found.name != path.stem:
            raise BadSpec(f"{path.name} describes {found.name!r}: name the file after it.")
        self._known[path] = changed, spec
        return spec

    def path(self, name: str) -> Path:
        """The file that describes `name`."""
        return self._files()[name.partition("@")[0]]

    def describe(self) -> list[dict[str, Any]]:
        """One object for each file: `name`, `version`, `summary` and all else that it says."""
        return [self.load(name).model_dump(mode="json") for name in self]


def _folder(entry: EntryPoint) -> Path | None:
    """The folder of the package that an entry point names, found without importing it."""
    try:
        found = find_spec(entry.value)
    except ModuleNotFoundError:  # a package above it is missing
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


@cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


tasks: Registry[Any] = Registry("task")
methods: Registry[Any] = Registry("method")
metrics: Registry[Any] = Registry("metric")
generators: Registry[Callable[..., Any]] = Registry("generator")
networks: Registry[Callable[..., Any]] = Registry("network")
samplers: Registry[Callable[..., Any]] = Registry("sampler")
extractors: Registry[Any] = Registry("extractor")
pairs: TomlRegistry[Pair] = TomlRegistry("pair", Pair)
suites: TomlRegistry[Suite] = TomlRegistry("suite", Suite)
