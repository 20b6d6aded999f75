"""A stage's parameters and parents, as dataclasses → the JSON that enters its key, or that a worker is sent; and back.

They are dataclasses and no pydantic models, which would turn a width of 1 into 1.0 and so change the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self, get_args, get_type_hints

from pydantic import BaseModel

from explorer.core.artifact import Artifact

# Metadata of a field that the engine fills in at execution: it decides nothing of the result and is in no key.
OUTSIDE_KEY = {"outside_key": True}
# Metadata of a field that is left out of the JSON where it is None, as keys were made before there was such a field.
LEFT_OUT_IF_NONE = {"left_out_if_none": True}


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
            if name not in settings and (value is not None or name not in _optional(type(self))):
                values[name] = value
            elif name in settings and value is not None:
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
    """Parents that may include code of the user's own, or a library's.

    Parameters
    ----------
    code
        Name of the artifact → folder that modules are imported from, of a library nothing but its version.
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


# Samplers ask for the keys of hundreds of configurations before each trial, so what a class says is read once: into
# dicts, since mypy does not take the class of a frozen dataclass for hashable, which `functools.cache` asks for.
_NAMES: dict[type[Parameters | Parents], tuple[str, ...]] = {}
_IN_KEY: dict[type[Parameters | Parents], tuple[str, ...]] = {}
_OPTIONAL: dict[type[Parameters], frozenset[str]] = {}
_SETTINGS: dict[type[Parameters], Mapping[str, type[BaseModel]]] = {}


def _names(cls: type[Parameters | Parents]) -> tuple[str, ...]:
    if cls not in _NAMES:
        _NAMES[cls] = tuple(each.name for each in fields(cls))
    return _NAMES[cls]


def _in_key(cls: type[Parameters | Parents]) -> tuple[str, ...]:
    if cls not in _IN_KEY:
        _IN_KEY[cls] = tuple(each.name for each in fields(cls) if not each.metadata.get("outside_key"))
    return _IN_KEY[cls]


def _optional(cls: type[Parameters]) -> frozenset[str]:
    """Return the fields that are left out where they are None."""
    if cls not in _OPTIONAL:
        _OPTIONAL[cls] = frozenset(each.name for each in fields(cls) if each.metadata.get("left_out_if_none"))
    return _OPTIONAL[cls]


def _settings(cls: type[Parameters]) -> Mapping[str, type[BaseModel]]:
    """Return the fields that hold settings, each with the settings' class."""
    if cls not in _SETTINGS:
        kinds = [(name, kind) for name, hint in get_type_hints(cls).items() for kind in get_args(hint) or (hint,)]
        _SETTINGS[cls] = {name: kind for name, kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return _SETTINGS[cls]
