"""Stage: typed parameters and parents → the key that its artifact lies under; a worker executes it.

A stage consists of two files of its name. ``explorer/line/contracts/<name>.py`` has its types: ``Parameters``,
``Parents``, ``Values`` and ``Stage``, and loads neither torch nor TVM. ``explorer/line/stages/<name>.py`` does the
work in a worker; it defines two literals and one function::

    VERSION = 1        # raised whenever the same parameters give another result
    WORKER = "torch"   # the kind of worker process it runs in: "torch" or "tvm"

    def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
        '''Write files into the folder `out`; return plain JSON values; raise StageFailed for an expected failure.'''

Of the values, ``note`` is a sentence that the user is told when the stage was executed.

Parameters are dataclasses and no pydantic models, which would turn a width of 1 into 1.0 and so change the key.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import ClassVar, Generic, Self, get_args, get_type_hints

from pydantic import BaseModel
from typing_extensions import TypeVar

from explorer.core import plugins
from explorer.core.artifact import Artifact, V
from explorer.core.configuration import digest

# The library that a kind of worker is built around; with our own code it decides a stage's result.
LIBRARIES = {"torch": "torch", "tvm": "apache-tvm"}

# Metadata of a field that the engine fills in at execution: it decides nothing of the result and is in no key.
OUTSIDE_KEY = {"outside_key": True}

Target = Mapping[str, object]  # a TVM target


@dataclass(frozen=True)
class Parameters:
    """Choices that decide a stage's result together with its parents and, outside of its key, needs of its execution.

    In JSON, the settings that a field holds stand among the other fields. A field without settings leaves none there.
    """

    def keyed(self) -> dict[str, object]:
        """Return the JSON that enters the stage's key."""
        return self._json(_in_key(type(self)))

    def as_json(self) -> dict[str, object]:
        """Return the JSON that a worker is sent."""
        return self._json(_names(type(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """Return the parameters that `as_json` turned into `values`."""
        given: dict[str, object] = {}
        for name in _names(cls):
            if model := _settings(cls).get(name):
                own = {each: values[each] for each in model.model_fields if each in values}
                if own:  # they were validated before; some, which are outside of every key, are missing here
                    given[name] = model.model_construct(None, **own)
            elif name in values:
                given[name] = values[name]
        return cls(**given)

    def _json(self, names: tuple[str, ...]) -> dict[str, object]:
        values: dict[str, object] = {}
        settings = _settings(type(self))
        for name in names:
            value = getattr(self, name)
            if name not in settings:
                values[name] = value
            elif value is not None:
                values |= value.model_dump()
        return values


@dataclass(frozen=True)
class Parents:
    """The artifacts that a stage reads, each under a name; an optional one may be None."""

    def keyed(self) -> dict[str, str]:
        """Return name → key of the parents that enter the stage's key."""
        return {name: parent.key for name, parent in self._named(_in_key(type(self))).items()}

    def named(self) -> dict[str, Artifact]:
        """Return name → artifact of all parents."""
        return self._named(_names(type(self)))

    @classmethod
    def of(cls, named: Mapping[str, Artifact]) -> Self:
        """Return the parents that `named` returned."""
        given: dict[str, object] = {name: named[name] for name in _names(cls) if name in named}
        return cls(**given)

    def _named(self, names: tuple[str, ...]) -> dict[str, Artifact]:
        return {name: parent for name in names if (parent := getattr(self, name)) is not None}


@dataclass(frozen=True)
class ParentsWithCode(Parents):
    """Parents that may include code of the user's own.

    Parameters
    ----------
    code
        Name of the artifact → folder that modules are imported from.
    """

    code: Mapping[str, Artifact] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, named: Mapping[str, Artifact]) -> Self:
        """Return the parents that `named` returned."""
        own = [name for name in _names(cls) if name in named]
        given: dict[str, object] = {name: named[name] for name in own}
        return cls(**given, code={name: parent for name, parent in named.items() if name not in own})

    def _named(self, names: tuple[str, ...]) -> dict[str, Artifact]:
        return {**super()._named(tuple(name for name in names if name != "code")), **self.code}


P = TypeVar("P", bound=Parameters, default=Parameters, covariant=True)
A = TypeVar("A", bound=Parents, default=Parents, covariant=True)


@dataclass(frozen=True)
class Stage(Generic[P, A, V]):
    """One execution to be: parameters and parents of the stage that a subclass names; it returns values of type V."""

    name: ClassVar[str]
    parameters: P
    parents: A

    @property
    def worker(self) -> str:
        """The kind of worker process that the stage runs in."""
        return str(plugins.literal("stage", self.name, "WORKER"))

    @property
    def key(self) -> str:
        """The key that the stage's artifact lies under."""
        return content_key(self.name, self.parameters.keyed(), self.parents.keyed())

    def as_json(self) -> dict[str, object]:
        """Return the request to execute the stage, as a worker reads it but for the folders to write into."""
        parents = {name: {**asdict(parent), "path": str(parent.path)} for name, parent in self.parents.named().items()}
        return {"stage": self.name, "parameters": self.parameters.as_json(), "parents": parents}

    @property
    def trained_pixels(self) -> int:
        """Pixels of all images that the stage trains on, an image counted in every epoch."""
        return 0


def content_key(stage: str, parameters: Mapping[str, object], parents: Mapping[str, str]) -> str:
    """Return the SHA-256 over a stage's name, version, parameters, its parents' keys and its library's version."""
    return digest(
        {
            "stage": stage,
            "version": plugins.literal("stage", stage, "VERSION"),
            "library": library_version(str(plugins.literal("stage", stage, "WORKER"))),
            "parameters": dict(parameters),
            "parents": dict(parents),
        }
    )


@cache
def library_version(worker: str) -> str:
    """Return ``name version`` of the library behind a kind of worker, without importing it."""
    name = LIBRARIES[worker]
    return f"{name} {importlib.metadata.version(name)}"


# Samplers ask for the keys of hundreds of configurations before each trial, so what a class says is read once: into
# dicts, since mypy does not take the class of a frozen dataclass for hashable, which `functools.cache` asks for.
_NAMES: dict[type[Parameters | Parents], tuple[str, ...]] = {}
_IN_KEY: dict[type[Parameters | Parents], tuple[str, ...]] = {}
_SETTINGS: dict[type[Parameters], Mapping[str, type[BaseModel]]] = {}


def _names(cls: type[Parameters | Parents]) -> tuple[str, ...]:
    if cls not in _NAMES:
        _NAMES[cls] = tuple(each.name for each in fields(cls))
    return _NAMES[cls]


def _in_key(cls: type[Parameters | Parents]) -> tuple[str, ...]:
    if cls not in _IN_KEY:
        _IN_KEY[cls] = tuple(each.name for each in fields(cls) if not each.metadata.get("outside_key"))
    return _IN_KEY[cls]


def _settings(cls: type[Parameters]) -> Mapping[str, type[BaseModel]]:
    """Return the fields that hold settings, each with the settings' class."""
    if cls not in _SETTINGS:
        kinds = [(name, kind) for name, hint in get_type_hints(cls).items() for kind in get_args(hint) or (hint,)]
        _SETTINGS[cls] = {name: kind for name, kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return _SETTINGS[cls]
