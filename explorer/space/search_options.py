"""The [search] table of a search-space file → how the space is searched, with what a command line overrides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from explorer.core import plugins
from explorer.core.errors import SpaceError, did_you_mean
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import quantities
from explorer.core.settings import MOST_SEED
from explorer.space.axes import Axis
from explorer.space.limits import BOUNDED, Limit, check_limits
from explorer.space.toml.space_file import RUNGS
from explorer.space.toml.toml_file import TomlFile

MOST_TRIALS = 10_000_000


class Search(BaseModel):
    """``[search]``: how a space is searched.

    Parameters
    ----------
    sampler
        Name of a file in ``explorer/search/samplers``.
    trials
        How many the study is to have; without a number, the space decides when it is loaded.
    seed
        Of everything that the sampler draws.
    rungs
        The tuning budget with which configurations are judged: all with the least of its choices first, the best of
        them with the next one. None if all budgets are searched alike.
    reduction
        One in so many configurations, or more, is promoted from one rung to the next.
    limits
        Bounds on measured quantities: stacks that keep all of them are preferred, and fronts are of those alone.
    warm_start
        Whether the sampler begins with trials of the workspace's earlier studies.
    latency_first
        Whether stacks are measured before they are fine-tuned, as far as their latency does not depend on that, and
        those that would stay dominated are not trained; see `explorer.search.latency_first`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sampler: str = "auto"
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    rungs: str | None = None
    reduction: Annotated[int, Field(ge=2, le=MOST_TRIALS)] = 3
    limits: list[Annotated[Limit, BeforeValidator(Limit.from_text)]] = []
    warm_start: bool = True
    latency_first: bool = False

    def overridden(self, sampler: str | None = None, trials: int | None = None, seed: int | None = None) -> Search:
        """Return the options with those replaced that are given.

        Raises
        ------
        SpaceError
            For an unknown sampler, and a number of trials or a seed out of bounds.
        """
        if sampler is not None and (unknown := _unknown_sampler(sampler)):
            raise SpaceError(unknown)
        if trials is not None and trials < 1:
            raise SpaceError(f"trials {trials} is below 1")
        if trials is not None and trials > MOST_TRIALS:
            raise SpaceError(f"trials {trials} is above {MOST_TRIALS:,}")
        if seed is not None and seed < 0:
            raise SpaceError(f"seed {seed} is negative")
        if seed is not None and seed > MOST_SEED:
            raise SpaceError(f"seed {seed} is above {MOST_SEED:,}")
        given = {"sampler": sampler, "trials": trials, "seed": seed}
        return self.model_copy(update={name: value for name, value in given.items() if value is not None})


def read_search(file: TomlFile, axes: Mapping[str, Axis], metric: Metric) -> Search:
    """Return how the space is searched, `metric` being what networks are judged by.

    Raises
    ------
    SpaceError
        For an unknown key, a value that makes no sense, and options that exclude or need one another.
    """
    known = quantities(metric.name)
    search = file.validate(Search, file.content.get("search", {}), ("search",), {BOUNDED: known})
    if unknown := _unknown_sampler(search.sampler):
        raise file.error(unknown, "search", "sampler")
    if search.rungs is not None and search.rungs not in RUNGS:
        raise file.error(
            f"rungs '{search.rungs}' is no tuning budget{did_you_mean(search.rungs, RUNGS)}", "search", "rungs"
        )
    if search.rungs is None and "reduction" in search.model_fields_set:
        raise file.error(
            "reduction says how many of the rungs' configurations are promoted: it needs rungs", "search", "reduction"
        )
    if search.rungs is not None and search.latency_first:
        raise file.error(
            "latency_first leaves out stacks that rungs might promote, by how they do untuned: choose one of the two",
            "search", "latency_first",
        )  # fmt: skip
    if search.latency_first and not metric.is_accuracy:
        raise file.error(
            f"latency_first goes by the accuracy before fine-tuning, and this space has {metric.name} in its place: "
            "leave it out",
            "search", "latency_first",
        )  # fmt: skip
    check_limits(file, search.limits, axes["device"])
    return search


def _unknown_sampler(name: str) -> str | None:
    """Return the sentence about a sampler that does not exist, None about one that does."""
    known = plugins.names("sampler")
    return None if name in known else f"unknown sampler '{name}'{did_you_mean(name, known)}"
