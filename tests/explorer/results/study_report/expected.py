"""The rows of a study → the sentences that a report of it must have, computed stack by stack without any table.

It is the check of each sentence against the records: what a report takes from whole columns is looked up here for one
stack after another.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import geometric_mean, mean
from typing import Any

import pandas as pd
from scipy import stats

from explorer.core.configuration import AXES, Configuration
from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.results import readable

Row = Mapping[str, Any]
LOST = ("compression", "ratio", "channel_multiple", "max_drop", "format")
BUDGET = ("tuning_trials", "tuning_seconds", "tuner")


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Return the complete trials' rows, the last one of each stack; a gap is None."""
    found: dict[Any, Row] = {}
    for row in frame.to_dict("records"):
        plain = {str(name): None if value is None or value != value else value for name, value in row.items()}
        if plain["state"] == "complete":
            found.pop(key(plain), None)
            found[key(plain)] = plain
    return list(found.values())


def key(row: Row, but: Iterable[str] = ()) -> tuple[Any, ...]:
    """Return a stack's choices on all axes but some."""
    return tuple(row[axis] for axis in AXES if axis not in but)


def latency(row: Row) -> Interval:
    return Interval(row["latency_ms"], row["latency_low_ms"], row["latency_high_ms"])


def counterpart(rows: Sequence[Row], row: Row, but: Iterable[str], **choices: Any) -> Row | None:
    """Return the last stack that equals `row` in every axis but some, and has these `choices`."""
    same = [other for other in rows if key(other, but) == key(row, but)]
    return next((o for o in reversed(same) if all(o[axis] == choice for axis, choice in choices.items())), None)


def ratio(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def student(values: Sequence[float], single: Interval) -> Interval:
    """Return the mean with Student's interval; that of the only value for one."""
    if len(values) == 1:
        return single
    low, high = stats.t.interval(0.95, len(values) - 1, mean(values), stats.sem(values))
    if math.isnan(low):  # all values are equal
        low = high = mean(values)
    return Interval(mean(values), low, high)


def geometric(ratios: Sequence[Interval]) -> Interval:
    """Return the geometric mean of ratios with its interval."""
    logs = student([math.log(each.value) for each in ratios], Interval(*(math.log(end) for end in ratios[0])))
    return Interval(*map(math.exp, logs))


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def share(part: int, whole: int) -> str:
    percent = 100 * part / whole
    return f"{part:,} of {whole:,} ({'under 1' if 0 < percent < 1 else f'{percent:.0f}'} %)"


def correlations(rows: Sequence[Row]) -> list[str]:
    found = []
    for device, dataset in sorted({(row["device"], row["dataset"]) for row in rows}):
        own = [row for row in rows if (row["device"], row["dataset"]) == (device, dataset)]
        told, most = [], 0
        for name, word in (("macs", "MACs"), ("size_bytes", "size"), ("accuracy", "accuracy")):
            both = [(row["latency_ms"] / row["batch"], row[name]) for row in own if row.get(name) is not None]
            if len(both) < 10 or any(len(set(values)) == 1 for values in zip(*both, strict=True)):
                continue
            rho = float(stats.spearmanr(*zip(*both, strict=True)).statistic)
            half = stats.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / (len(both) - 3))
            ends = [math.tanh(math.atanh(rho) + sign * half) for sign in (-1, 1)] if abs(rho) < 1 else [rho, rho]
            unsure = " (cannot be told apart from none)" if ends[0] <= 0 <= ends[1] else ""
            told.append(f"{ratio(Interval(rho, *ends))} with {word}{unsure}")
            most = max(most, len(both))
        if told:
            stacks = counted(most, "stack")
            found.append(f"On {device}, over {stacks} on {dataset}, the rank correlation of latency is {listed(told)}.")
    return found


def speed_up(rows: Sequence[Row]) -> list[str]:
    groups: dict[Any, list[tuple[Row, Row]]] = defaultdict(list)
    for row in rows:
        base = counterpart(rows, row, LOST, compression="none", format="dense")
        if row["compression"] != "none" and base is not None:
            groups[row["device"], row["compression"], row["ratio"], row["format"]].append((row, base))
    found = []
    for device in sorted({device for device, *_ in groups}):
        own = {what: pairs for (where, *what_), pairs in groups.items() if where == device for what in [tuple(what_)]}
        achieved = {
            what: geometric([ratio_interval(latency(b), latency(r)) for r, b in pairs]) for what, pairs in own.items()
        }
        own = {what: own[what] for what in sorted(own, key=lambda what: (what[0], what[1] or 0, what[2]))}
        best = max(own, key=lambda what: round(achieved[what].value, 9))
        found.append(_brings(device, best, own[best], achieved[best]))
        promised = {
            what: geometric_mean([_promised(r, b) for r, b in pairs])
            for what, pairs in own.items()
            if pairs[0][0].get("macs")
        }
        kept = {what: achieved[what].value / promise for what, promise in promised.items()}
        if kept and min(kept.values()) < 1:
            worst = min(kept, key=lambda what: round(kept[what], 9))
            verb = "falls" if achieved[worst].high < promised[worst] else "may fall"
            found.append(
                f"On {device}, {_lost(worst)} {verb} the furthest short of its MACs: they promise a speed-up of "
                f"{promised[worst]:.2f}, and it reaches {ratio(achieved[worst])}."
            )
    return found


def _promised(row: Row, base: Row) -> float:
    left = row["nonzeros"] / row["weights"] if row["format"] == "csr" else 1.0
    return float(base["macs"] / (row["macs"] * left))


def _lost(what: Sequence[Any]) -> str:
    compression, share_, format_ = str(what[0]), what[1], what[2]
    return compression + ("" if share_ is None else f" {share_:g}") + (" in csr" if format_ == "csr" else "")


def _brings(device: str, what: Sequence[Any], pairs: Sequence[tuple[Row, Row]], achieved: Interval) -> str:
    networks: dict[Any, list[Interval]] = defaultdict(list)
    for row, base in pairs:
        lost = base["accuracy"] - row["accuracy"]
        below = math.hypot(base["accuracy"] - base["accuracy_low"], row["accuracy_high"] - row["accuracy"])
        above = math.hypot(base["accuracy_high"] - base["accuracy"], row["accuracy"] - row["accuracy_low"])
        networks[tuple(row[axis] for axis in ("dataset", "model", "width", "channel_multiple"))].append(
            Interval(lost, lost - below, lost + above)
        )
    means = [Interval(*(mean(ends) for ends in zip(*own, strict=True))) for own in networks.values()]
    cost = student([each.value for each in means], means[0])
    verb, ends = ("costs", cost) if cost.value >= 0 else ("gains", Interval(-cost.value, -cost.high, -cost.low))
    points = [f"{100 * end + 0.0:.1f}" for end in ends]
    unsure = ", which cannot be told apart from none," if achieved.low <= 1 <= achieved.high else ""
    free = ", which cannot be told apart from none" if cost.low <= 0 <= cost.high else ""
    return (
        f"On {device}, {_lost(what)} brings the largest speed-up, {ratio(achieved)} over {counted(len(pairs), 'pair')}"
        f"{unsure} and {verb} {points[0]} points ({points[1]} to {points[2]}) of accuracy{free}."
    )


def sparsity(rows: Sequence[Row]) -> list[str]:
    groups: dict[Any, dict[float, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        base = counterpart(rows, row, ("format",), format="dense")
        if row["format"] == "csr" and base is not None:
            groups[row["device"], row["algorithm"]][row["ratio"]].append(ratio_interval(latency(row), latency(base)))
    found = []
    for device in sorted({device for device, _ in groups}):
        told = []
        for algorithm in sorted(name for where, name in groups if where == device):
            times = {each: geometric(own) for each, own in sorted(groups[device, algorithm].items())}
            unsure_at = [each for each, own in times.items() if own.high >= 1]
            faster = [each for each in times if not unsure_at or each > unsure_at[-1]]
            at = faster[0] if faster else max(times)
            takes = f"it takes {ratio(times[at])} of the dense time at {at:g}"
            if not faster:
                apart = times[at].low > 1
                told.append(
                    f"with {algorithm} at no ratio up to {at:g}: {takes}"
                    + ("" if apart else ", which cannot be told apart")
                )
            elif unsure_at:
                told.append(f"with {algorithm} between {unsure_at[-1]:g} and {at:g}: {takes}")
            else:
                told.append(f"with {algorithm} at every ratio from {at:g} on: {takes}")
        found.append(f"On {device}, csr overtakes dense {'; '.join(told)}.")
    return found


def algorithms(rows: Sequence[Row]) -> list[str]:
    contests: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        if row["algorithm"] != "auto":
            contests[key(row, ("algorithm",))].append(row)
    winners: dict[Any, tuple[Row, str | None]] = {}
    for place, own in contests.items():
        first, second = (*sorted(own, key=lambda row: row["latency_ms"]), None)[:2] if len(own) > 1 else (None, None)
        if first is not None and second is not None:
            winners[place] = first, first["algorithm"] if first["latency_high_ms"] < second["latency_low_ms"] else None
    found = []
    for device in sorted({row["device"] for row, _ in winners.values()}):
        own_ = [(row, winner) for row, winner in winners.values() if row["device"] == device]
        found.append(_won(device, own_))
    return [*found, _tuned(list(winners.values()))] if found else []


def _won(device: str, own: Sequence[tuple[Row, str | None]]) -> str:
    counts = Counter(winner for _, winner in own if winner)
    tied = sum(winner is None for _, winner in own)
    contests = counted(len(own), "contest")
    if not counts:
        return f"On {device}, the two fastest algorithms cannot be told apart in any of {contests}."
    places: dict[Any, Counter[str]] = defaultdict(Counter)
    for row, winner in own:
        if winner:
            dtype = Configuration("digits", "x", compression=row["compression"]).dtype
            places[row["dataset"], row["model"], row["width"], dtype][winner] += 1
    most = [{name for name in count if count[name] == max(count.values())} for count in places.values()]
    same = "the same algorithm wins most on every network and dtype"
    which = same if len(set.union(*most)) == 1 else "it depends on network and dtype"
    beside = f"; in {tied:,} the two fastest cannot be told apart" if tied else ""
    wins = [f"{name} wins {count:,}" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    return f"On {device}, of {contests} {listed(wins)}{beside}: {which}."


def _tuned(winners: Sequence[tuple[Row, str | None]]) -> str:
    untuned = {
        key(row, ("algorithm", *BUDGET)): winner for row, winner in winners if winner and not row["tuning_trials"]
    }
    both = [
        (row, winner, untuned[key(row, ("algorithm", *BUDGET))])
        for row, winner in winners
        if winner and row["tuning_trials"] and key(row, ("algorithm", *BUDGET)) in untuned
    ]
    if not both:
        return "No contest has a clear winner both untuned and tuned: run stacks with tuning_trials = [0, 64]."
    changed = [row for row, winner, before in both if winner != before]
    where = f", on {listed(sorted({row['model'] + ' on ' + row['device'] for row in changed}))}" if changed else ""
    return f"Tuning changes the winner in {share(len(changed), len(both))} contests that are clear both ways{where}."


def tuning(rows: Sequence[Row]) -> list[str]:
    paired: dict[Any, list[Interval]] = defaultdict(list)
    confirmed: dict[Any, list[Interval]] = defaultdict(list)
    for row in rows:
        budget = row["device"], row["tuning_trials"], row["tuner"]
        base = counterpart(rows, row, BUDGET, tuning_trials=0, tuning_seconds=0)
        if row["tuning_trials"] and base is not None:
            paired[budget].append(ratio_interval(latency(row), latency(base)))
        if row["tuning_trials"] and row.get("tuned_ratio"):
            ends = row["tuned_ratio_low"], row["tuned_ratio_high"]
            confirmed[budget].append(Interval(row["tuned_ratio"], *ends))
    return [
        *_worth(paired, "of the untuned latency, over {}", "pair"),
        *_worth(confirmed, "of the rules' time when confirmed, over {} with a faster layer", "stack"),
    ]


def _worth(groups: Mapping[Any, Sequence[Interval]], told: str, noun: str) -> list[str]:
    found = []
    for (device, trials, tuner), own in sorted(groups.items()):
        times = geometric(own)
        unsure = ", which cannot be told apart from nothing gained" if times.low <= 1 <= times.high else ""
        over = told.format(counted(len(own), noun))
        found.append(f"On {device}, {trials:g} candidates of {tuner} take {ratio(times)} {over}{unsure}.")
    return found


def front(rows: Sequence[Row], fronts: pd.DataFrame) -> list[str]:
    found = []
    for device in sorted({row["device"] for row in rows}):
        own = [row for row in fronts.to_dict("records") if row["device"] == device]
        best = [row for row in own if not row["tied"]]
        if not best:
            continue
        sure = sum(row["front_probability"] >= 0.95 for row in best)
        measured = sum(row["device"] == device for row in rows)
        ties = len(own) - len(best)
        tied = f"; {counted(ties, 'more stack')} cannot be told apart from it" if ties else ""
        least = min(best, key=lambda row: row["front_probability"])
        likely = readable.probability(least["front_probability"])
        doubt = f"; the least sure is trial {least['number']} with {likely}" if sure < len(best) else ""
        found.append(
            f"On {device}, {counted(len(best), 'stack')} of {measured:,} measured are on the front, {sure:,} of them "
            f"with a probability of at least 95 %{tied}{doubt}."
        )
    return found


def failures(every: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    found = []
    for state in ("failed", "skipped"):
        own = [row for row in every if row["state"] == state]
        counts = Counter((row["failed_stage"], row["failure_kind"]) for row in own)
        places = [f"{count:,} in {stage} ({kind})" for (stage, kind), count in counts.most_common()]
        if own:
            verb = "were skipped" if state == "skipped" else "failed"
            found.append(f"{share(len(own), len(every))} trials {verb}: {listed(places)}.")
        elif state == "failed":
            found.append(f"None of {counted(len(every), 'trial')} failed.")
    asked = sum(row["convolutions"] for row in rows if row["convolutions"])
    if not asked:
        return found
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts[f"{row['algorithm']}, {row['format']}"].append(row)
    sums = {
        name: tuple(int(sum(row[column] for row in own)) for column in ("convolutions", "convolutions_as_asked"))
        for name, own in sorted(parts.items())
    }
    other = {name: every_ - as_asked for name, (every_, as_asked) in sums.items()}
    if not any(other.values()):
        return [*found, f"All of {int(asked):,} convolutions run the algorithm and format asked for."]
    worst = max(other, key=lambda name: other[name] / sums[name][0])
    return [
        *found,
        f"{share(sum(other.values()), int(asked))} convolutions run something else than asked for, the greatest share "
        f"with {worst}: {share(other[worst], sums[worst][0])}.",
    ]
