"""Profile of a network → its time as a flame: layers side by side in the order that they run in, modules below them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from explorer.core.errors import ExplorerError
from explorer.profiles.profile import Profile, Row
from explorer.profiles.rooflines import ARITHMETIC, KERNEL, THREADS, WEIGHTS
from explorer.results import readable
from explorer.results.figures import layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from explorer.results.figures.kinds import Options, Study

COLOURS = {ARITHMETIC: "#009E73", WEIGHTS: "#0072B2", THREADS: "#E69F00", KERNEL: "#CC79A7"}
MODULE = "#dddddd"
LABELLED_FROM = 0.03  # share of the network's time from which a bar has room for a name


class Segment(NamedTuple):
    """A part of the network's time: of a layer, or of all layers of a module that run one after the other.

    Parameters
    ----------
    depth
        0 for the network, 1 for its modules, and so on.
    start_us, us
        Where it begins, and how long it takes.
    row
        None for a module.
    """

    depth: int
    name: str
    start_us: float
    us: float
    row: Row | None


def segments(rows: Sequence[Row]) -> list[Segment]:
    """Return the segments of a network: modules by the dots in the names of layers."""
    found = [Segment(0, "network", 0.0, sum(row.us.value for row in rows), None)]
    start = 0.0
    for row in rows:
        *modules, last = row.name.removesuffix(".weight").split(".")
        for depth, _ in enumerate(modules, 1):
            name = ".".join(modules[:depth])
            before = next((each for each in reversed(found) if each.depth == depth), None)
            goes_on = before is not None and before.name == name and abs(before.start_us + before.us - start) < 1e-6
            if goes_on and before is not None:
                found[found.index(before)] = before._replace(us=before.us + row.us.value)
            else:
                found.append(Segment(depth, name, start, row.us.value, None))
        found.append(Segment(len(modules) + 1, last, start, row.us.value, row))
        start += row.us.value
    return found


def draw(study: Study, options: Options) -> go.Figure | None:
    """Return the flame of a trial of a study; None where it has no profile."""
    if options.trial is None:
        raise ExplorerError("figure profile needs the number of a trial: --trial N")
    found = study.profiles(options.trial)
    own = found.get(options.device) if options.device else next(iter(found.values()), None)
    return profile(own, f"{study.name}: trial {options.trial}") if own else None


def profile(profile: Profile, title: str) -> go.Figure:
    """Return the flame of a profile; a colour says what bounds a layer, its width how long it takes."""
    import plotly.graph_objects as go

    figure = go.Figure()
    drawn = segments(profile.rows)
    total = drawn[0].us
    groups = {"module": [each for each in drawn if each.row is None]}
    for bound in COLOURS:
        groups[bound] = [each for each in drawn if each.row and each.row.bounds.by(each.row.us.value) == bound]
    for name, group in groups.items():
        figure.add_trace(
            go.Bar(
                x=[each.us for each in group],
                y=[each.depth for each in group],
                base=[each.start_us for each in group],
                orientation="h",
                width=0.96,
                name="module" if name == "module" else f"bound by {name}",
                marker={"color": COLOURS.get(name, MODULE), "line": {"color": "white", "width": 1}},
                text=[html.escape(each.name) if each.us > LABELLED_FROM * total else "" for each in group],
                textposition="inside",
                insidetextanchor="middle",
                hovertext=[_hover(each, total) for each in group],
                hoverinfo="text",
            )
        )
    whole, sums = profile.network_ms.value, profile.layers_ms.value
    said = f"network {whole:.3f} ms, its programs {sums:.3f} ms, {profile.threads} threads on {profile.device}"
    small = f'<span style="font-size:13px;color:#555">{html.escape(said)}</span>'
    layout.set_layout(figure, f"<b>{html.escape(title)}</b><br>{small}")
    figure.update_layout(barmode="overlay", showlegend=True)
    figure.update_xaxes(title_text="microseconds, in the order that the layers run in", **layout.AXIS)
    figure.update_yaxes(visible=False)
    return figure


def _hover(segment: Segment, total_us: float) -> str:
    share = readable.share(segment.us / total_us)
    lines = [f"<b>{html.escape(segment.name)}</b>", f"{segment.us:.1f} µs, {share}"]
    if row := segment.row:
        rate = f", {row.gflop_s:.1f} GFLOP/s" if row.gflop_s else ""
        lines += [
            f"{html.escape(row.operator)} {html.escape(row.ran)}{rate}",
            f"bound by {row.bounds.by(row.us.value)}, {readable.share(row.roofline)} of the roofline",
            *([html.escape(row.reason)] if row.reason else []),
        ]
    return "<br>".join(lines)
