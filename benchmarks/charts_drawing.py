"""Draws the charts; run by ``charts`` with the interpreter that has matplotlib.

Every colour is drawn as a mark of its own and then replaced by a variable, so that the same file can be read on light
and on dark ground.
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

INK, QUIET, OURS, PEER, LIMIT = "#010101", "#010102", "#010103", "#010104", "#010105"
LIGHT = {INK: "#1f2328", QUIET: "#c9d1d9", OURS: "#1f6feb", PEER: "#8c959f", LIMIT: "#b08800"}
DARK = {INK: "#e6edf3", QUIET: "#30363d", OURS: "#58a6ff", PEER: "#7d8590", LIMIT: "#d4a72c"}
NAMES = {INK: "--ink", QUIET: "--quiet", OURS: "--ours", PEER: "--peer", LIMIT: "--limit"}
BAR_HEIGHT, WIDTH = 0.36, 9.0


def main(asked: str, folder: str) -> None:
    for chart in json.loads(Path(asked).read_text()):
        path = Path(folder) / f"bench-{chart['case']}.svg"
        path.write_text(_themed(_svg(chart)))
        print(path.name)


def _svg(chart: dict[str, Any]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": QUIET, "axes.labelcolor": INK, "xtick.color": QUIET, "ytick.color": QUIET,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.titlecolor": INK,
    })  # fmt: skip
    shown = sorted(chart["bars"], key=lambda bar: bar["value"])
    has_memory = any("memory" in bar for bar in shown)
    figure, axes = pyplot.subplots(
        1, 2 if has_memory else 1, figsize=(WIDTH, 1.2 + BAR_HEIGHT * len(shown)), layout="constrained", squeeze=False,
        sharey=True, width_ratios=[3, 2] if has_memory else [1],
    )  # fmt: skip
    figure.suptitle(chart["title"], fontsize=12, color=INK)
    _panel(axes[0][0], shown, "value", shown[0]["unit"])
    axes[0][0].invert_yaxis()
    if has_memory:
        _panel(axes[0][1], shown, "memory", "MB at the peak")
    sink = io.StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return sink.getvalue()


def _panel(axis: Any, shown: list[dict[str, Any]], key: str, label: str) -> None:
    names, values = [bar["name"] for bar in shown], [bar[key] for bar in shown]
    axis.barh(names, values, height=0.62, color=[_colour(name) for name in names])
    if key == "value":
        below = [value - bar["low"] for value, bar in zip(values, shown, strict=True)]
        above = [bar["high"] - value for value, bar in zip(values, shown, strict=True)]
        if any(below) or any(above):
            axis.errorbar(
                values, range(len(values)), xerr=[below, above], fmt="none", ecolor=INK, elinewidth=1, capsize=2
            )
    for place, bar in enumerate(shown):
        end = max(bar[key], bar["high"]) if key == "value" else bar[key]
        axis.annotate(f"{bar[key]:,.3g}" if bar[key] < 100 else f"{bar[key]:,.0f}", (end, place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    axis.set_xlabel(label)
    axis.set_xlim(0, max(max(values), *(bar["high"] if key == "value" else 0 for bar in shown)) * 1.25)
    axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="x", color=QUIET, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _colour(name: str) -> str:
    if name.startswith(("ours", "watermark", "a leg")):
        return OURS
    return LIMIT if name.startswith("limit") else PEER


def _themed(svg: str) -> str:
    """Marks become variables with a value for light and one for dark ground."""
    for mark, name in NAMES.items():
        svg = svg.replace(mark, f"var({name})")
    light, dark = ("".join(f"{NAMES[mark]}:{colour};" for mark, colour in theme.items()) for theme in (LIGHT, DARK))
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    svg = re.sub(r"(<svg[^>]*>)", lambda found: found[1] + style, svg, count=1)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
