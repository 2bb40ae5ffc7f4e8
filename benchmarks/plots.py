"""The plots of the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .calibration import BINS
from .tables import brief

__all__ = ["draw"]

Record = dict[str, Any]
Row = dict[str, Any]

_PLAIN = FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1 else f"{v:g}")
_OURS, _PEER = "#1f5fa8", "#b4b4b4"
_STYLES: dict[str, dict[str, Any]] = {
    "imreg_xp, overlap": {"color": _OURS, "marker": "o", "lw": 2.4, "zorder": 5},
    "imreg_xp, wrap": {"color": "#6fb1e8", "marker": "s", "lw": 2.4, "zorder": 4},
    "imreg_xp, wrap, white": {"color": "#6fb1e8", "marker": "s", "lw": 2.4, "zorder": 4},
    "image_registration.chi2_shift": {"color": "#d1495b", "marker": "v"},
    "scikit-image": {"color": "#e58f2b", "marker": "^"},
    "scikit-image, masked": {"color": "#b9770e", "marker": "<"},
    "OpenCV phaseCorrelate, Hann": {"color": "#3d8b57", "marker": "D"},
    "OpenCV phaseCorrelateIterative": {"color": "#8bc34a", "marker": "d"},
    "imreg_dft": {"color": "#7b5ea7", "marker": "p"},
    "pystackreg": {"color": "#7f7f7f", "marker": "x"},
    "torch phase correlation": {"color": "#c06c9f", "marker": "+"},
}


def draw(part: str, record: Record, path: Path) -> Path:
    """Draw one part into a PNG file."""
    figure = {"speed": _speed, "accuracy": _accuracy, "calibration": _calibration, "scaling": _scaling,
              "faint": _faint}[part](record["rows"])  # fmt: skip
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, which="major", color="#e6e6e6", lw=0.7)
    axes.set_axisbelow(True)


def _speed(rows: list[Row]) -> Figure:
    pairs = [r for r in rows if r["kind"] == "pair" and (r["dtype"], r["threads"]) == ("float64", 1)]
    stacks = [r for r in rows if r["kind"] == "stack" and (r["dtype"], r["threads"]) == ("float32", 1)]
    size = min((r["size"] for r in pairs), key=lambda n: abs(n - 1024))
    panels = [
        (f"a pair of {size}², float64", [r for r in pairs if r["size"] == size]),
        (f"a stack of {stacks[0]['frames']} × {stacks[0]['size']}², float32", stacks),
    ]
    figure = Figure(figsize=(12.5, 5.4), layout="constrained")
    names = list(dict.fromkeys(r["method"] for _, chosen in panels for r in chosen if "rfft2" not in r["method"]))
    for axes, (title, chosen) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        _bars(axes, {r["method"]: r for r in chosen}, names)
        axes.set_title(f"{title}, one thread", fontsize=11)
    return figure


def _bars(axes: Axes, rows: dict[str, Row], names: list[str]) -> None:
    """Draw a bar per method, from the bare FFTs to its time in units of them."""
    for i, name in enumerate(names):
        row = rows.get(name, {})
        if row.get("ratio") is None:
            axes.text(1.05, i, row.get("note") or "-", va="center", fontsize=8.5, color="#909090")
            continue
        axes.barh(i, row["ratio"] - 1, left=1, height=0.68, color=_OURS if name.startswith("imreg_xp") else _PEER)
        text = f"{row['ratio']:.1f}   ({brief(row['ms'])} ms)"
        axes.text(max(row["ratio"], 1) * 1.08, i, text, va="center", fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(0.3, 60 * max([r["ratio"] for r in rows.values() if r["ratio"]]) ** 0.85)
    axes.axvline(1, color="black", lw=1)
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("time in units of the bare FFTs (less is better)")
    _plain(axes)
    axes.grid(visible=False, axis="y")


def _accuracy(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, scene in zip(panels, ("periodic", "cut-outs"), strict=True):
        chosen = [r for r in rows if r["scene"] == scene and r["rms"] is not None]
        for name, style in _STYLES.items():
            if name == "imreg_xp, wrap, white":
                continue  # finds what "imreg_xp, wrap" does
            _line(axes, [r for r in chosen if r["method"] == name], lambda r: 1 / r["noise"], "rms", name, style)
        bound = sorted({(1 / r["noise"], r["bound"]) for r in chosen})
        axes.plot(*zip(*bound, strict=True), "k--", lw=1.4, label="Cramér-Rao bound", zorder=6)
        _loglog(axes, "signal to noise (rms of the scene over that of the noise)")
        axes.set_title(f"{'periodic images' if scene == 'periodic' else 'cut-outs of a larger sky'}, "
                       f"{chosen[0]['size']}²" if chosen else scene, fontsize=11)  # fmt: skip
    panels[0].set_ylabel("rms error, pixels")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    return figure


def _line(axes: Axes, rows: list[Row], x: Callable[[Row], float], y: str, name: str, style: dict[str, Any]) -> None:
    known = sorted((x(r), r[y]) for r in rows if r[y] is not None)
    if known:
        axes.plot(*zip(*known, strict=True), **{"ms": 5, "lw": 1.3, "label": name, **style})


def _loglog(axes: Axes, xlabel: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_PLAIN)
    axes.set_xlabel(xlabel)
    _plain(axes)


def _calibration(rows: list[Row]) -> Figure:
    cases = list(dict.fromkeys(r["case"] for r in rows if r["histogram"]))
    # an even choice of at most 8
    chosen = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, min(8, len(cases))).astype(int))]
    across = min(4, len(chosen))
    figure = Figure(figsize=(3.3 * across, 2.9 * -(-len(chosen) // across) + 0.5), layout="constrained")
    panels = figure.subplots(-(-len(chosen) // across), across, sharex=True, sharey=True, squeeze=False).flat
    x = np.linspace(-5, 5, 201)
    for axes, case in zip(panels, chosen, strict=False):
        here = {r["method"]: r for r in rows if r["case"] == case and r["histogram"]}
        best = "imreg_xp, wrap" if case.startswith("periodic") else "imreg_xp, overlap"
        _steps(axes, here.get("image_registration.chi2_shift"), "image_registration", color="#d1495b", alpha=0.55)
        _steps(axes, here.get(best), "imreg_xp", color=_OURS, alpha=0.75)
        axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), "k--", lw=1.2)
        axes.set_title("\n".join((", ".join(case.split(", ")[:2]), ", ".join(case.split(", ")[2:]))), fontsize=8.5)
        axes.legend(frameon=False, fontsize=7.5, loc="upper right", handlelength=1)
        axes.set_ylim(0, 0.78)
        _plain(axes)
    figure.supxlabel("pull: error made over error claimed (what is beyond ±5 is in the outermost bin)", fontsize=10)
    figure.supylabel("density; dashed: what it should be", fontsize=10)
    return figure


def _steps(axes: Axes, row: Row | None, name: str, **style: Any) -> None:
    if row is None:
        return
    counts = np.array(row["histogram"])
    density = counts / counts.sum() / np.diff(BINS)
    axes.stairs(density, BINS, fill=True, label=f"{name}: rms {brief(row['pull'])}", **style)


def _faint(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    cases = list(dict.fromkeys((r["scene"], r["snr"]) for r in rows))
    panels = figure.subplots(1, len(cases), sharey=True, squeeze=False)[0]
    styles = {
        "imreg_xp, joint": {"color": _OURS, "marker": "o", "lw": 2.4, "zorder": 5},
        "imreg_xp, mean": {"color": "#6fb1e8", "marker": "s"},
        "imreg_xp, first": {"color": "#7b5ea7", "marker": "p"},
        "scikit-image, no phase, on the first": {"color": "#e58f2b", "marker": "^", "ls": ":"},
        "image_registration.chi2_shift, on the first": {"color": "#d1495b", "marker": "v", "ls": ":"},
    }
    for axes, (scene, snr) in zip(panels, cases, strict=True):
        chosen = [r for r in rows if (r["scene"], r["snr"]) == (scene, snr)]
        for name, style in styles.items():
            _line(axes, [r for r in chosen if r["method"] == name], lambda r: r["frames"], "rms", name, style)
        bound = sorted({(r["frames"], r["bound"]) for r in chosen})
        axes.plot(*zip(*bound, strict=True), "k--", lw=1.4, label="Cramér-Rao bound, the scene known", zorder=6)
        _loglog(axes, "frames")
        axes.set_title(f"{'periodic images' if scene == 'periodic' else scene}, S/N {snr:g} per pixel", fontsize=11)
    panels[0].set_ylabel("rms error, pixels")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    return figure


def _scaling(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(12.5, 4.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, against in zip(panels, ("pixels", "frames"), strict=True):
        chosen = [r for r in rows if r["against"] == against]
        for name in dict.fromkeys(r["method"] for r in chosen):
            alike = [r for r in chosen if r["method"] == name]
            style = _STYLES.get(name, {"color": "black", "ls": "--", "marker": "."})
            slope = alike[0]["slope"]
            label = f"{name} (slope {slope:.2f})" if slope is not None else name
            _line(axes, alike, lambda r: r["value"], "ms", label, style)
        _loglog(axes, f"{against}{' of a pair' if against == 'pixels' else ' of a stack'}")
        axes.set_ylabel("ms")
        axes.legend(frameon=False, fontsize=8.5)
    return figure
