"""Pictures of a registration. Nothing here touches pyplot or any other global state of matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["SUFFIXES", "drift_figure", "registration_figure"]

SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")

_LINES = ("#0b3c5d", "#3f88b8", "#9cc5e0")


def registration_figure(
    reference: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    registration: Any,
    *,
    names: tuple[str, str] = ("reference", "moving"),
    lines: Sequence[str] = (),
    truth: tuple[float, float] | None = None,
) -> Figure:
    """Draw two images, their difference before and after, and the region of the shift.

    Parameters
    ----------
    reference : (ny, nx) array
        The reference image.
    before, after : (ny, nx) arrays
        The moving image on the reference's pixels, as it came and with what was found applied; NaN where it holds
        nothing.
    registration : Registration or SimilarityRegistration
        Of one pair, on NumPy arrays; shift in (y, x) order, pixels.
    names : (str, str)
        Titles of the two images.
    lines : sequence of str
        Text to print beside the pictures.
    truth : (float, float), optional
        The known shift (x, y), to be marked.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas; differences are (moving - background) / gain - reference, in units of the reference.
    """
    gain, background = float(registration.scale), float(registration.background)
    before, after = ((image - background) / gain for image in (before, after))
    figure = Figure(figsize=(13.5, 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    limits = _limits(reference)
    _show(axes[0, 0], reference, limits, f"reference: {names[0]}", "magma", stretch=True)
    _show(axes[0, 1], before, limits, f"moving: {names[1]}", "magma", stretch=True)
    differences = {"before": before - reference, "after": after - reference}
    top = _robust(differences["before"])
    for axis, (when, difference) in zip(axes[1, :2], differences.items(), strict=True):
        title = f"difference {when}: rms {_rms(difference):.3g}"
        image = _show(axis, difference, (-top, top), title, "RdBu_r", stretch=False)
    figure.colorbar(image, ax=list(axes[1, :2]), shrink=0.8, label="(moving − background) / gain − reference")
    _draw_region(axes[0, 2], registration, truth)
    axes[1, 2].set_axis_off()
    axes[1, 2].text(0.0, 1.0, "\n".join(_wrapped(lines)), family="monospace", fontsize=8, va="top", linespacing=1.6)
    axes[1, 2].legend(*axes[0, 2].get_legend_handles_labels(), fontsize=9, loc="lower left", frameon=False)
    return figure


def drift_figure(when: np.ndarray, shifts: np.ndarray, errors: np.ndarray) -> Figure:
    """Draw the shifts of a series of frames, along x and y, with their errors.

    Parameters
    ----------
    when : (n,) array
        Number of the frames, or their time (datetime64).
    shifts, errors : (n, 2) arrays
        Shift (x, y) and its 1 sigma, pixels; frames with NaN are marked at the lower edge.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas.
    """
    order = np.argsort(when, kind="stable")
    when, shifts, errors = when[order], shifts[order], errors[order]
    found = np.isfinite(shifts).all(axis=1)
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, sharex=True)
    style = {"ms": 4.5 if len(when) <= 100 else 2.5, "capsize": 2.5 if len(when) <= 100 else 0, "elinewidth": 1.0}
    for axes, name, colour, shift, error in zip(panels, "xy", _LINES, shifts.T, errors.T, strict=False):
        axes.plot(when[found], shift[found], color=colour, lw=0.8, alpha=0.45)
        label = "shift to apply ± 1 σ"
        axes.errorbar(when[found], shift[found], error[found], fmt="o", color=colour, label=label, **style)
        if not found.all():
            at = np.full(int((~found).sum()), 0.03)
            label = f"no reliable shift ({len(at)})"
            low = axes.get_xaxis_transform()
            axes.plot(when[~found], at, "x", color="#c1272d", ms=7, mew=1.8, transform=low, label=label, clip_on=False)
        axes.margins(y=0.15)
        bottom, top = axes.get_ylim()
        if bottom < 0 < top:
            axes.axhline(0.0, color="0.6", lw=0.8, zorder=0)
        axes.grid(color="0.92", lw=0.6)
        axes.set_axisbelow(True)
        axes.set_ylabel(f"d{name} [pix]")
    _time_axis(panels[1], when)
    panels[0].set_title(f"{int(found.sum())} of {len(when)} frames aligned", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    return figure


def _time_axis(axes: Axes, when: np.ndarray) -> None:
    if when.dtype.kind == "M":
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("DATE-OBS")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("frame, from 0")


def _limits(image: np.ndarray) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, [0.5, 99.7]) if finite.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-12 * max(abs(low), 1.0)))


def _robust(image: np.ndarray) -> float:
    finite = abs(image[np.isfinite(image)])
    return float(np.percentile(finite, 99)) or 1.0 if finite.size else 1.0


def _rms(image: np.ndarray) -> float:
    finite = image[np.isfinite(image)]
    return float(np.sqrt(np.mean(finite**2))) if finite.size else float("nan")


def _show(
    axes: Axes, image: np.ndarray, limits: tuple[float, float], title: str, colours: str, *, stretch: bool
) -> Any:
    low, high = limits
    if stretch:
        image = np.arcsinh(6 * (image - low) / (high - low))
        low, high = 0.0, float(np.arcsinh(6.0))
    drawn = axes.imshow(image, origin="lower", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_facecolor("0.8")
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    return drawn


def _draw_region(axes: Axes, registration: Any, truth: tuple[float, float] | None) -> None:
    """Draw delta chi² = 1, 4 and 9: regions whose extent along an axis is 1, 2 and 3 times its error.

    Angle and magnification, where they are free, are those that are best for each shift.
    """
    x, y = np.asarray(registration.shift, dtype=float)[::-1]
    covariance = np.asarray(registration.covariance, dtype=float)[:2, :2][::-1, ::-1]
    ex, ey = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    unit = vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * circle)
    for level, colour in zip((1, 2, 3), _LINES, strict=True):
        axes.plot(
            x + level * unit[0], y + level * unit[1], color=colour, lw=1.8, label=f"Δχ² = {level**2}  ({level} σ)"
        )
    axes.errorbar([x], [y], xerr=[ex], yerr=[ey], fmt="o", color="black", ms=4, capsize=3, label="found ± 1 σ")
    reach = [3.6 * ex, 3.6 * ey]
    if truth is not None:
        axes.plot(*truth, "x", color="#c1272d", ms=9, mew=2, label="true")
        reach = [max(r, 1.2 * abs(t - s)) for r, t, s in zip(reach, truth, (x, y), strict=True)]
    half = max(*reach, 1e-12)
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half))
    axes.set_box_aspect(1)
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=5)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("shift x [pix]", fontsize=9)
    axes.set_ylabel("shift y [pix]", fontsize=9)
    axes.set_title("χ² around its minimum", fontsize=10)
    axes.grid(color="0.9", lw=0.6)


def _wrapped(lines: Sequence[str], width: int = 52) -> list[str]:
    """Break long lines at their first gap of several blanks, so that they stay in their panel."""
    out: list[str] = []
    for line in lines:
        head, gap, tail = line.rpartition("   ")
        out.extend([head, f"           {tail}"] if gap and head.strip() and len(line) > width else [line])
    return out
