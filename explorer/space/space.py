"""A search-space file → the configurations that it allows: counted, listed, drawn, and as Optuna's parameters."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core.configuration import AXES, Configuration, dtype_of, parts
from explorer.core.errors import SpaceError, did_you_mean
from explorer.core.settings import Settings
from explorer.space import devices
from explorer.space.axes import Axis, Choice, Range, read_axes
from explorer.space.devices import Device
from explorer.space.limits import Limit
from explorer.space.rules import checks
from explorer.space.rules.constraints import Constraint, read_constraints
from explorer.space.rules.gpu_rules import gpu_rules
from explorer.space.rules.onnx_rules import check_training
from explorer.space.rules.prefix_tree import Node, grow
from explorer.space.search_options import Search, read_search
from explorer.space.toml import space_file
from explorer.space.toml.space_file import Direction, find
from explorer.space.toml.toml_file import TomlFile

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from explorer.space.optuna_parameters import Parameters

__all__ = ["Direction", "Space", "find", "load", "unseen"]

MOST_COMBINATIONS = 1_000_000  # growing the tree of more takes longer than a user waits for an answer
DRAWS = 100  # before `unseen` lists what is left


@dataclass(frozen=True)
class Space:
    """The content of a search-space file.

    Parameters
    ----------
    axes
        Every axis of the stack, in the stack's order.
    objectives
        Quantity → ``"maximize"`` or ``"minimize"``, in the order of the file.
    search
        How the space is searched.
    settings
        Of the stages that train, compress and measure.
    devices
        The entries of the devices file beside the space, by name.
    devices_file
        Where that is or would be.
    """

    name: str
    path: Path
    axes: Mapping[str, Axis]
    constraints: tuple[Constraint, ...]
    objectives: Mapping[str, Direction]
    search: Search
    settings: Settings
    devices: Mapping[str, Device]
    devices_file: Path

    @property
    def sampler(self) -> str:
        """Name of the sampler that chooses configurations."""
        return self.search.sampler

    @property
    def trials(self) -> int:
        """How many trials the space's study is to have."""
        assert self.search.trials is not None  # `load` decides where the file does not
        return self.search.trials

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Bounds on measured quantities."""
        return tuple(self.search.limits)

    @cached_property
    def tree(self) -> Node:
        """The valid configurations as a prefix tree, one level per axis."""
        return grow(self.axes, self.constraints)

    @cached_property
    def lowest(self) -> Space:
        """The part of the space on the lowest of its rungs, from which all others are promoted; all of it without."""
        rungs = self.search.rungs
        if rungs is None:
            return self
        least = Axis(rungs, (min(self.axes[rungs].choices, key=lambda choice: float(str(choice))),))
        search = self.search.model_copy(update={"rungs": None})
        return dataclasses.replace(self, axes={**self.axes, rungs: least}, search=search)

    @property
    def whole(self) -> Space:
        """The space as it is when all of it is evaluated: without an order in which that is done."""
        as_listed = {"sampler": "grid", "trials": self.count, "rungs": None, "latency_first": False}
        return dataclasses.replace(self, search=self.search.model_copy(update=as_listed))

    @property
    def missing_devices(self) -> tuple[str, ...]:
        """Names on the axis `device` that have no entry in the devices file."""
        return _missing_devices(self.axes, self.devices)

    @property
    def device_names(self) -> tuple[str, ...]:
        """Every device that stacks are judged on, alone or together with others."""
        return _device_names(self.axes)

    def narrow_types(self, device: str) -> dict[str, list[str]]:
        """Return dtype → the compressions that end in it, of the stacks on a device in another dtype than float32."""
        on = Axis("device", tuple(choice for choice in self.axes["device"].choices if device in parts(str(choice))))
        found: dict[str, list[str]] = {}
        for compression in self.axes["compression"].choices:
            dtype = dtype_of(str(compression))
            axes = {**self.axes, "device": on, "compression": Axis("compression", (compression,))}
            if dtype != "float32" and grow(axes, self.constraints).count:
                found.setdefault(dtype, []).append(str(compression))
        return found

    @property
    def count(self) -> int:
        """Number of valid configurations; a continuous axis counts as one choice."""
        return self.tree.count

    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the continuous axes."""
        return tuple(name for name, axis in self.axes.items() if axis.continuous)

    @property
    def size(self) -> str:
        """The count in words, such as ``"72 configurations x continuous ratio"``."""
        noun = "configuration" if self.count == 1 else "configurations"
        return " x continuous ".join((f"{self.count:,} {noun}", *self.continuous))

    def configurations(self) -> Iterator[Configuration]:
        """Yield every valid configuration, in lexicographic order of the axes' choices.

        Raises
        ------
        SpaceError
            If an axis is continuous.
        """
        for name in self.continuous:
            raise SpaceError(f"{self.path}: axis {name} is continuous; give its range a step to list configurations")
        for choices in self.tree.leaves():
            yield _configuration(choices)

    def draw(self, generator: random.Random) -> Configuration:
        """Return a configuration drawn uniformly; a number of a logarithmic range uniformly by its logarithm."""
        choices = self.tree.leaf(generator.randrange(self.count))
        return _configuration(_draw(choice, generator) for choice in choices)

    def draw_distinct(self, generator: random.Random, draws: int) -> list[Configuration]:
        """Return the configurations that so many calls of `draw` return, each where it comes first."""
        if self.continuous:
            return list(dict.fromkeys(self.draw(generator) for _ in range(draws)))
        # Few configurations are drawn often, and to draw a number takes far less than to make what it stands for.
        numbers = dict.fromkeys(generator.randrange(self.count) for _ in range(draws))
        return [_configuration(self.tree.leaf(number)) for number in numbers]

    def suggest(self, trial: BaseTrial) -> Configuration:
        """Return a valid configuration, each choice that those above leave open suggested by `trial`."""
        from explorer.space import optuna_parameters  # Optuna, which listing spaces on the command line does without

        return optuna_parameters.suggest(self.axes, self.tree, trial)

    def distributions(self, configuration: Configuration) -> Parameters:
        """Return the distribution and value of every parameter under which `suggest` gives `configuration`.

        Raises
        ------
        SpaceError
            If the configuration is not in the space.
        """
        from explorer.space import optuna_parameters

        try:
            return optuna_parameters.distributions(self.axes, self.tree, configuration)
        except SpaceError as error:
            raise SpaceError(f"{self.path}: {error}") from None

    def parameters(self, configuration: Configuration) -> dict[str, Any]:
        """Return the Optuna parameters under which `suggest` gives `configuration`, to enqueue it.

        Raises
        ------
        SpaceError
            If the configuration is not in the space.
        """
        return {name: value for name, (_, value) in self.distributions(configuration).items()}

    def configuration(self, choices: Mapping[str, Any]) -> Configuration:
        """Return the configuration with these `choices`, by axis; NaN, which tables have for None, counts as such.

        Raises
        ------
        SpaceError
            If there is no such axis, or no such configuration in the space.
        """
        from optuna.trial import FixedTrial

        for name in choices:
            if name not in AXES:
                raise SpaceError(f"unknown axis '{name}' of a configuration{did_you_mean(name, AXES)}")
        for name in ("dataset", "model"):
            if name not in choices:
                raise SpaceError(f"a configuration without a {name}: {dict(choices)}")
        missing = {name for name, value in choices.items() if isinstance(value, float) and math.isnan(value)}
        values = {name: None if name in missing else value for name, value in choices.items()}
        # As the axes write their choices: 8 where a table has 8.0.
        return self.suggest(FixedTrial(self.parameters(Configuration.from_dict(values))))

    def searched(self, sampler: str | None = None, trials: int | None = None, seed: int | None = None) -> Space:
        """Return the space with the given parts of its ``[search]`` replaced.

        Raises
        ------
        SpaceError
            For an unknown sampler, and a number of trials or a seed out of bounds.
        """
        return dataclasses.replace(self, search=self.search.overridden(sampler, trials, seed))


def load(path: Path | str, devices_file: Path | None = None, *, to_run: bool = True) -> Space:
    """Return the search space of the file at `path`, or of a bundled one by its name.

    Parameters
    ----------
    devices_file
        The devices that the axis `device` may name; ``devices.toml`` beside the space unless given.
    to_run
        Whether every device must have an entry; a space can be counted without.

    Raises
    ------
    SpaceError
        If either file cannot be used; the message names the file and, where known, the line.
    """
    file = TomlFile.read(find(path))
    devices_path = devices_file or file.path.with_name(space_file.DEVICES_FILE)
    entries = devices.load(devices_path)
    space_file.check_tables(file)
    axes = read_axes(file, entries)
    if to_run and (missing := _missing_devices(axes, entries)):
        raise checks.unknown_devices(file, missing, entries, devices_path)
    combinations = math.prod(len(axis.choices) for axis in axes.values())
    if combinations > MOST_COMBINATIONS:
        raise file.error(f"the axes have {combinations:,} combinations, more than {MOST_COMBINATIONS:,}", "axes")
    settings = space_file.read_settings(file)
    search = read_search(file, axes, settings.metric)
    space = Space(
        name=space_file.read_name(file),
        path=file.path,
        axes=axes,
        constraints=(*read_constraints(file, axes), *gpu_rules(axes, entries)),
        objectives=space_file.read_objectives(
            file, [str(choice) for choice in axes["device"].choices], settings.metric
        ),
        search=search,
        settings=settings,
        devices=entries,
        devices_file=devices_path,
    )
    checks.check_choices(file, axes, space.constraints, space.tree)
    check_training(file, space.settings, space.tree)
    if search.rungs is not None:
        checks.check_budgets(file, axes[search.rungs])
        checks.check_lowest_rung(file, search.rungs, space.lowest.axes, space.lowest.tree)
    return space if search.trials else space.searched(trials=_default_trials(space))


def unseen(space: Space, seen_ids: Collection[str], seed: int) -> Configuration | None:
    """Return a configuration whose id is not among `seen_ids`, drawn uniformly; None where all were seen.

    The same arguments give the same configuration. A continuous axis is drawn uniformly from its range, on a
    logarithmic scale where the range has one.
    """
    generator = random.Random(seed)
    for _ in range(DRAWS):
        drawn = space.draw(generator)
        if drawn.id not in seen_ids:
            return drawn
    if space.continuous:
        return None
    left = [configuration for configuration in space.configurations() if configuration.id not in seen_ids]
    return generator.choice(left) if left else None


def _configuration(values: Iterable[Any]) -> Configuration:
    """Return the configuration of a value for each axis."""
    return Configuration.from_dict(dict(zip(AXES, values, strict=True)))


def _draw(choice: Choice, generator: random.Random) -> Choice:
    if not isinstance(choice, Range):
        return choice
    if choice.log:
        drawn = math.exp(generator.uniform(math.log(choice.low), math.log(choice.high)))
        return min(max(drawn, choice.low), choice.high)  # exp(log(x)) may miss x by a rounding
    return generator.uniform(choice.low, choice.high)


def _missing_devices(axes: Mapping[str, Axis], entries: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in _device_names(axes) if name not in entries)


def _device_names(axes: Mapping[str, Axis]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for choice in axes["device"].choices for name in parts(str(choice))))


def _default_trials(space: Space) -> int:
    """Return all configurations for a grid, and at most 100 for the samplers that choose."""
    return space.count if space.sampler == "grid" or (space.count < 100 and not space.continuous) else 100
