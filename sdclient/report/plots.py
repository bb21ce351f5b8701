"""The plots of a run as small SVG texts, drawn by matplotlib; their colours follow the page, light or dark."""

# The stubs of pandas and matplotlib leave the types of many results and keyword arguments open; mypy checks what they have.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdclient.report.history import figure, make_work_axis, read_lanes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_POINTS = 160
"""Points of a line; more are put together, mean by mean and maximum by maximum."""
_SIZE_INCHES = (4.4, 2.1)
_SECONDS_UP_TO_S = 3 * 60
_MINUTES_UP_TO_S = 2 * 3600
_FEW = 3
_WHOLE_FROM = 100
_INK, _GRID, _SERIES = "#010203", "#010204", ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
# Colours that no plot would use, replaced by the page's own variables once drawn.
_COLOURS = {_INK: "var(--ink-soft)", _GRID: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, start=1)
}
_COLOUR = re.compile("|".join(_COLOURS))
_IDS = re.compile(r'(\bid="|url\(#|href="#)')
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sdclient",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "path.simplify": True,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        title: What it shows, with the unit.
        svg: The drawing; every text in it is escaped.
        summary: The same in words, for those who do not see it.
    """

    title: str
    svg: str
    summary: str


@dataclass(frozen=True, slots=True)
class _Table:
    """The figures of all attempts that held a server.

    Attributes:
        frame: One row per attempt, by the time of its end.
        unit: What the times are counted in: ``seconds``, ``minutes`` or ``hours`` of work.
        per_hour: How many of them an hour has.
    """

    frame: pd.DataFrame
    unit: str
    per_hour: float

    def having(self, column: str) -> pd.DataFrame:
        """Return the rows in which a figure is known."""
        return self.frame[self.frame[column].notna()]


def make_plots(attempts: Sequence[Mapping[str, str]]) -> tuple[Plot, ...]:
    """Draw every plot there are figures for; what was never measured has no plot.

    Args:
        attempts: All rows.
    """
    table = _read_table(attempts)
    if table is None:
        return ()
    from matplotlib import style

    with style.context(_STYLE):
        made = [_draw_rate(table), _draw_seconds(table), *(_draw_lines(table, plot) for plot in _LINES)]
        made.append(_draw_energy(table))
    return tuple(plot for plot in made if plot is not None)


_MEASURED = (
    "client_cpu_percent_mean",
    "client_cpu_percent_max",
    "client_ram_used_mb_mean",
    "client_ram_used_mb_max",
    "server_rss_mb",
    "gpu_percent_mean",
    "gpu_memory_mb_max",
    "gpu_power_w_mean",
    "energy_wh",
)
_Line = tuple[str, str, str]
_LinePlot = tuple[str, str, tuple[_Line, ...]]
# Title, unit, and for each line its label, its column, and how points are put together.
_LINES: tuple[_LinePlot, ...] = (
    (
        "CPU of the sending machine during requests",
        "% of all cores",
        (("mean", "client_cpu_percent_mean", "mean"), ("maximum", "client_cpu_percent_max", "max")),
    ),
    (
        "Memory in use on the sending machine",
        "MiB",
        (("mean", "client_ram_used_mb_mean", "mean"), ("maximum", "client_ram_used_mb_max", "max")),
    ),
    ("Memory of the server process", "MiB", (("largest", "server_rss_mb", "max"),)),
    ("GPU utilisation during requests", "%", (("mean", "gpu_percent_mean", "mean"),)),
    ("GPU memory in use", "MiB", (("largest", "gpu_memory_mb_max", "max"),)),
    ("Power during requests", "W", (("mean", "gpu_power_w_mean", "mean"),)),
)


def _read_table(attempts: Sequence[Mapping[str, str]]) -> _Table | None:
    import pandas as pd

    lanes = read_lanes(attempts)
    axis = make_work_axis(lanes)
    per_hour, unit = _time_unit(axis.length_s)
    rows = [
        {
            "time": axis.at(bar.end_s) / 3600 * per_hour,
            "held_s": bar.end_s - bar.begin_s,
            "server": lane.server or "unknown",
            "done": bar.status == "done",
            "images": _image_count(attempts[bar.row]),
            **{name: figure(attempts[bar.row], name) for name in _MEASURED},
        }
        for lane in lanes
        for bar in lane.bars
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows).sort_values("time", kind="stable").reset_index(drop=True)
    # A column of nothing but None is no column of numbers to pandas.
    return _Table(frame.astype(dict.fromkeys(_MEASURED, "float64")), unit, per_hour)


def _time_unit(length_s: float) -> tuple[float, str]:
    if length_s <= _SECONDS_UP_TO_S:
        return 3600.0, "seconds"
    return (60.0, "minutes") if length_s <= _MINUTES_UP_TO_S else (1.0, "hours")


def _image_count(cells: Mapping[str, str]) -> int:
    # Cut-outs are counted by the image they were cut out of.
    return 0 if cells.get("kind") == "segment" else len(cells.get("files", "").split())


def _draw(table: _Table, title: str, unit: str, paint: Callable[[Axes], None], summary: str) -> Plot:
    # Not pyplot: that would keep every figure, and pick a window system.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn = Figure(figsize=_SIZE_INCHES, layout="constrained")
    FigureCanvasSVG(drawn)
    axes = drawn.add_subplot()
    paint(axes)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(unit)
    axes.set_xlabel(f"{table.unit} of work")
    axes.yaxis.set_major_formatter(lambda value, _: figure_text(value))
    if len(axes.get_legend_handles_labels()[1]) > 1:
        drawn.legend(loc="outside upper right", ncols=3)
    file = io.StringIO()
    drawn.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return Plot(title, _for_page(file.getvalue(), title), summary)


def _for_page(svg: str, title: str) -> str:
    """Strip what a file needs and a page does not, and let colours and ids be the page's."""
    prefix = re.sub(r"\W+", "-", title.lower())
    text = _METADATA.sub("", _HEAD.sub("", svg))
    text = _IDS.sub(lambda match: f"{match[1]}{prefix}-", text)
    text = _COLOUR.sub(lambda match: _COLOURS[match[0]], text)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _binned(frame: pd.DataFrame, column: str, how: str) -> tuple[list[float], list[float]]:
    """Return times and values, at most `MAX_POINTS` of them."""
    import numpy as np

    groups = frame.groupby(np.arange(len(frame)) * MAX_POINTS // max(len(frame), MAX_POINTS))
    values = groups[column].mean() if how == "mean" else groups[column].max()
    return [float(one) for one in groups["time"].mean()], [float(one) for one in values]


def _range(frame: pd.DataFrame, columns: Sequence[str], unit: str) -> str:
    """Say the mean of the first column, and the most that any of them reached."""
    mean, most = figure_text(float(frame[columns[0]].mean())), figure_text(float(frame[list(columns)].max().max()))
    return f"{len(frame)} attempt{'' if len(frame) == 1 else 's'}: {mean} {unit} on average, {most} {unit} at most."


def _draw_lines(table: _Table, plot: _LinePlot) -> Plot | None:
    title, unit, lines = plot
    known = table.having(lines[0][1])
    if known.empty:
        return None

    def paint(axes: Axes) -> None:
        for colour, (label, column, how) in zip(_SERIES, lines, strict=False):
            times, values = _binned(known, column, how)
            marker = "." if len(values) < _FEW else ""
            axes.plot(times, values, color=colour, label=label, linewidth=1.3, marker=marker)

    return _draw(table, title, unit, paint, _range(known, [line[1] for line in lines], unit.split(maxsplit=1)[0]))


def _busiest(done: pd.DataFrame) -> list[str]:
    return [str(name) for name in done["server"].value_counts().index[: len(_SERIES)]]


def _draw_rate(table: _Table) -> Plot | None:
    import numpy as np

    done = table.frame[table.frame["done"] & (table.frame["images"] > 0)]
    length = float(table.frame["time"].max())
    if len(done) < _FEW or length <= 0:
        return None
    bins = min(40, max(4, len(done) // 5))
    edges = np.linspace(0, length, bins + 1)
    width_hours = length / bins / table.per_hour

    def paint(axes: Axes) -> None:
        base = np.zeros(bins)
        for colour, server in zip(_SERIES, _busiest(done), strict=False):
            mine = done[done["server"] == server]
            made, _ = np.histogram(mine["time"], bins=edges, weights=mine["images"])
            axes.bar(edges[:-1], made / width_hours, edges[1] * 0.92, base, align="edge", color=colour, label=server)
            base += made / width_hours

    total, hours = int(done["images"].sum()), length / table.per_hour
    summary = f"{total} image{'' if total == 1 else 's'} in {figure_text(length)} {table.unit} of work, {figure_text(total / hours)} an hour."
    return _draw(table, "Images made per hour", "an hour", paint, summary)


def _draw_seconds(table: _Table) -> Plot | None:
    done = table.frame[table.frame["done"]]
    if done.empty:
        return None

    def paint(axes: Axes) -> None:
        for colour, server in zip(_SERIES, _busiest(done), strict=False):
            times, values = _binned(done[done["server"] == server], "held_s", "mean")
            axes.plot(times, values, ".", color=colour, label=server, markersize=5)

    return _draw(table, "Seconds a job held its server", "s", paint, _range(done, ["held_s"], "s"))


def _draw_energy(table: _Table) -> Plot | None:
    known = table.having("energy_wh")
    if known.empty:
        return None
    summed = known.assign(total=known["energy_wh"].cumsum())

    def paint(axes: Axes) -> None:
        axes.plot(*_binned(summed, "total", "max"), color=_SERIES[0], linewidth=1.3)

    missing = len(table.frame) - len(known)
    total = figure_text(float(known["energy_wh"].sum()))
    summary = f"{total} Wh in {len(known)} attempts; {missing} were not measured and are not in it."
    return _draw(table, "Energy, added up", "Wh", paint, summary)


def figure_text(value: float | None, unit: str = "") -> str:
    """Return a figure as people read it, three digits; a dash where it is unknown."""
    if value is None:
        return "—"
    return (f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}") + unit
