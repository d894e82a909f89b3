"""Draws plots with matplotlib, in the environment of `make setup-peers`: `python plots.py FOLDER < plots.json`.

Each plot as `report.Plot` describes it, into FOLDER/performance-NAME.svg.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# The same numbers give the same file; text stays text, which is small and can be searched.
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "zarrlink", "font.size": 9}


def draw(plot: dict[str, Any], file: Path) -> None:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    series = plot["series"]
    named = any(isinstance(x, str) for points in series.values() for x, _ in points)
    if named:
        _bars(axes, series)
    else:
        for name, points in series.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    if "x" in plot["log"]:
        axes.set_xscale("log")
    if "y" in plot["log"]:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(plot["title"])
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(plot["y"])
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1:
        axes.legend()
    figure.savefig(file, metadata={"Date": None})


def _bars(axes: Any, series: dict[str, list[tuple[str, float]]]) -> None:
    places = [x for x, _ in next(iter(series.values()))]
    width = 0.8 / len(series)
    for number, (name, points) in enumerate(series.items()):
        left = [place + (number - (len(series) - 1) / 2) * width for place in range(len(places))]
        bars = axes.bar(left, [y for _, y in points], width, label=name)
        axes.bar_label(bars, [f"{y:,.0f}" if y >= 100 else f"{y:.3g}" for _, y in points], fontsize=6)
    many = len(places) > 4
    axes.set_xticks(range(len(places)), places, rotation=20 * many, ha="right" if many else "center")


if __name__ == "__main__":
    for one in json.load(sys.stdin):
        draw(one, Path(sys.argv[1]) / f"performance-{one['name']}.svg")
