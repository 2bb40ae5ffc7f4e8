"""The table of the systems that people know by name: what each is for, and what the harness measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .systems import BIAS, NOISE
from .tables import brief

__all__ = ["SYSTEMS", "System", "table"]

Record = dict[str, Any]
Row = dict[str, Any]

_HEAD = ("system", "good for", "here", "instead", "measured", "bias: periodic", "pointings", "stars",
         "error at noise 0.1, periodic", "ms (x FFTs)")  # fmt: skip
_SCENES = ("periodic", "cut-outs", "stars")
_LINE = "<br>"


@dataclass(frozen=True)
class System:
    """A row of the table: words, and which rows of which record say how good it is."""

    name: str
    good_for: str
    here: str
    instead: str
    methods: tuple[tuple[str, str], ...] = ()
    """Rows of `systems`, and what they are called in a cell."""
    part: str = "systems"


_REGISTER = '`register`: `boundary="wrap"` for periodic images, else as it is'
SYSTEMS: tuple[System, ...] = (
    System("imreg_xp", "any pair, with errors that are true", "`register`", "-",
           (("imreg_xp, overlap", "overlap"), ("imreg_xp, wrap", "wrap"))),
    System("image_registration (Ginsburg)", "periodic images", "`chi2_shift` and all that it documents", _REGISTER,
           (("imreg_xp.chi2_shift", "here"), ("image_registration.chi2_shift", "theirs"))),
    System("cross_cor_taylor (Welsch)", "a quick first look", "`cross_correlation_shifts`", _REGISTER,
           (("imreg_xp.cross_correlation_shifts", "here"),
            ("imreg_xp.cross_correlation_shifts, Gaussian", "Gaussian"),
            ("image_registration.cross_correlation_shifts", "theirs"))),
    System("dftregistration (Guizar-Sicairos)", "complex images and their phase",
           "`register_images`, `register_images.dftregistration`", "`register` for real images",
           (("imreg_xp.dftregistration", "here"), ("scikit-image, no phase", "scikit-image"),
            ("image_registration.register_images", "image_registration"))),
    System("correl_optimize (Varosi and Landsman)", "images of different sizes, far apart",
           "`correl_optimize`, `correl_images`, `corrmat_analyze`", "`register`, which takes two sizes, too",
           (("imreg_xp.correl_optimize", "magnification 10"),)),
    System("subreg (Perrin)", "star fields, headers of telescopes", "`subreg`", "`register_stack`",
           tuple((f"imreg_xp.subreg, {m}", m) for m in ("X", "F", "FHP", "C", "O", "G", "R", "M"))),
    System("similarity (Gohlke), imreg_dft", "rotation and scale", "`similarity`, `translation`, `similarity_matrix`",
           '`register` with `model="similarity"`',
           (("imreg_xp, similarity", "`register`"), ("imreg_xp.similarity, not refined", "here, not refined"),
            ("imreg_dft", "imreg_dft"), ("imreg_dft, 3 iterations", "imreg_dft, 3 iterations")), part="turned"),
    System("Gratadour, Mugnier and Rouan", "many faint frames of one scene", "`register_stack(\"joint\", frames)`", "-",
           part="faint"),
    System("SDSS; Tonry and Davis", "redshifts", "`spectral_shift`", "its error from chi²", part="spectra"),
)  # fmt: skip


def table(found: dict[str, Record]) -> str:
    """Return the table in Markdown; a part that was not run leaves its cells empty."""
    lines = [_HEAD, ("---",) * len(_HEAD)]
    for system in SYSTEMS:
        rows = found[system.part]["rows"] if system.part in found else []
        kinds = {"systems": _of_images, "turned": _of_turns, "faint": _of_frames, "spectra": _of_spectra}
        measured = kinds[system.part](system, rows)
        # a line of each cell is that of one function
        cells = [_LINE.join(column) for column in zip(*measured, strict=True)] or [""] * 6
        lines.append((system.name, system.good_for, system.here, system.instead, *cells))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _of_images(system: System, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Go through the functions of a system: what it is called, bias on three scenes, error, time."""
    known = {(r["method"], r["scene"], r["noise"]): r for r in rows}
    for name, called in system.methods:
        bias = (_error(known.get((name, scene, BIAS))) for scene in _SCENES)
        here = [r for r in rows if r["method"] == name and r["ms"]]
        time = f"{brief(here[0]['ms'])} ({here[0]['ratio']:.1f})" if here else "-"
        yield called, *bias, _error(known.get((name, "periodic", NOISE))), time


def _error(row: Row | None) -> str:
    if row is None or row["rms_found"] is None:
        return "-" if row is None else row["note"] or "none found"
    return _least(row["rms_found"]) + (f" ({row['lost']:.0%} off)" if row["lost"] else "")


def _of_turns(system: System, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Go through the functions of a system: errors of shift, angle and magnification of pointings at any angle."""
    known = {(r["method"], r["noise"]): r for r in rows if r["scene"] == "any turn"}
    for name, called in system.methods:
        if (name, BIAS) in known:
            row = known[name, BIAS]
            time = f"{brief(row['ms'])} ({row['ratio']:.0f})" if row["ms"] else "-"
            yield called, "-", _turn(row), "-", f"{_turn(known[name, NOISE])}, pointings", time


def _turn(row: Row) -> str:
    if row["rms_shift"] is None:
        return row["note"] or "none found"
    shift, angle, size = (row[f"rms_{what}"] for what in ("shift", "angle", "magnification"))
    lost = f" ({row['lost']:.0%} off)" if row["lost"] else ""
    return f"{_least(shift)}, {_least(angle)}°, {_least(100 * size)} %{lost}"


def _least(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def _of_frames(_: System, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Go through the ways to register most frames at S/N 1."""
    most = max((r["frames"] for r in rows), default=0)
    here = {r["method"]: r for r in rows if (r["scene"], r["snr"], r["frames"]) == ("periodic", 1.0, most)}
    for name, called in (("imreg_xp, joint", "jointly"), ("imreg_xp, first", "in pairs")):
        if name in here and here[name]["rms"] is not None:
            error = f"{here[name]['rms']:.3f} (S/N 1, {most} frames)"
            yield called, "-", "-", "-", error, f"{brief(here[name]['ms'])} a frame"


def _of_spectra(_: System, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Go through the errors claimed, each beside the scatter."""
    time = "-"
    for row in (r for r in rows if r["what"] == "batch"):
        time = f"{1e3 * row['seconds'] / row['spectra']:.0f} for {row['pixels']} pixels, {row['templates']} templates"
    for row in (r for r in rows if r["what"] == "errors"):
        error = f"scatter {row['scatter']:.1f}, said to be {row['claimed']:.1f} km/s"
        yield f"{row['method']}, S/N {row['snr']:g}", "-", "-", "-", error, time
