"""Profile of a network → lines and a table for the terminal, a program a line in the network's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from explorer.profiles.explanation import Explanation
from explorer.profiles.profile import Profile, Row
from explorer.results import readable

if TYPE_CHECKING:
    from rich.console import RenderableType


def profile_text(trial: int, profile: Profile) -> Iterator[RenderableType]:
    """Yield what a network's programs take, and what their sum leaves of its latency."""
    threads = f"{profile.threads} thread" + ("s" if profile.threads > 1 else "")
    yield readable.headed(f"trial {trial}", f" on {profile.device}, {threads}, {_sessions(profile)}")
    heads = ("layer", "operator", "output", "ran", "MACs", "weights", "µs", "95 % interval", "share")
    table = readable.table(*heads, "GFLOP/s", "roofline", "bound by", "why not as asked")
    for row in profile.rows:
        table.add_row(*_cells(row))
    yield table
    whole, sums, rest = profile.network_ms.value, profile.layers_ms.value, profile.rest_ms
    yield (
        f"the network takes {whole:.3f} ms, its programs {sums:.3f} ms ({readable.share(sums / whole)}); "
        f"the rest, {1e3 * rest:.0f} µs, is the call itself and what differs between the two runs"
    )
    machine = profile.machine
    yield (
        f"peaks on {threads}: {machine.gflop_s:.0f} GFLOP/s in float32, {machine.gb_s:.1f} GB/s from where its weights "
        "lie" + (f", {machine.wake_us:.1f} µs for the threads to meet" if machine.wake_us else "")
    )
    if profile.disturbed:
        yield f"no session was quiet: {profile.disturbed}"


def _sessions(profile: Profile) -> str:
    return f"{profile.sessions} session" + ("s" if profile.sessions > 1 else "")


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        row.operator,
        "x".join(map(str, row.output)),
        row.ran,
        f"{row.macs:,}" if row.macs else "",
        readable.size(row.weight_bytes) if row.weight_bytes else "",
        f"{row.us.value:.1f}",
        f"{row.us.low:.1f} to {row.us.high:.1f}",
        readable.share(row.share),
        f"{row.gflop_s:.1f}" if row.gflop_s else "",
        readable.share(row.roofline) if row.macs else "",
        row.bounds.by(row.us.value),
        row.reason,
    ]


MOST_LAYERS = 12


def explanation_text(found: Explanation) -> Iterator[RenderableType]:
    """Yield why a network takes as long as it does: the answer, the causes, the layers that matter, what to change."""
    held = found.versus
    yield readable.headed(found.sentence, "")
    yield (
        f"{held.base.network_ms.value:.3f} to {held.own.network_ms.value:.3f} ms; expected: "
        f"{held.expected:.2f} from multiplications other than by zero and the width of numbers, "
        f"{held.bytes_ratio:.2f} from bytes of weights"
    )
    if found.shares:
        causes = readable.table("cause", "µs in excess", "layers")
        for share in found.shares:
            causes.add_row(share.cause, f"{share.us:.1f}", str(share.layers or ""))
        yield causes
    by_layer = {each.layer: each for each in found.findings}
    heads = ("layer", "before (µs)", "after (µs)", "expected", "achieved", "95 % interval", "bytes", "cause")
    layers = readable.table(*heads, "measured")
    worst = sorted(held.pairs, key=lambda pair: -pair.excess_us)[:MOST_LAYERS]
    for pair in (each for each in held.pairs if each in worst):
        times = f"{pair.base.us.value:.1f}", f"{pair.own.us.value:.1f}", f"{pair.expected:.2f}"
        achieved = f"{pair.achieved.value:.2f}", f"{pair.achieved.low:.2f} to {pair.achieved.high:.2f}"
        own = by_layer.get(pair.own.name)
        told = (own.cause, own.evidence) if own else ("", "")
        layers.add_row(pair.own.name, *times, *achieved, f"{pair.bytes_ratio:.2f}", *told)
    yield layers
    if len(held.pairs) > MOST_LAYERS:
        yield f"these are the {MOST_LAYERS} of {len(held.pairs)} layers with the largest excess; --json has all"
    if found.advice:
        yield found.advice.text
        yield f"next: {found.advice.command}"
