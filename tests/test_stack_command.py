"""``imreg-xp stack``: what it finds, what bad files do to it, and that it can be killed at any moment."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from commands import refused
from sky_scenes import seen, sky_header, wcs_of

import imreg_xp
from imreg_xp.cli import _cores, main
from imreg_xp.FITS_tools.frame_files import FrameFiles

SHAPE = (60, 72)
DRIFT = np.array([(0.0, 0.0), (0.8, -0.4), (1.7, -0.9), (2.3, -1.6), (3.1, -1.9), (3.8, -2.7)])
NUMBERS = ("dx", "dy", "dx_err", "dy_err", "cov_xy", "scale", "background", "chi2", "dof", "overlap")


def call(*arguments):
    return CliRunner().invoke(main, ["stack", *map(str, arguments)])


def contents(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).rglob("*") if p.is_file()}


def read(path):
    return Table.read(path, format="ascii.ecsv").filled("")


@pytest.fixture
def frames(tmp_path):
    """Write frames; (dx, dy) of DRIFT is what to apply to each so that it matches the first."""
    names = []
    for i, (dx, dy) in enumerate(DRIFT):
        image = seen(SHAPE, lambda x, y, dx=dx, dy=dy: (x + dx, y + dy), noise=2.0, seed=20 + i)
        header = sky_header()
        header["DATE-OBS"] = f"2024-05-01T0{i}:30:00"
        header["BUNIT"] = "Jy/beam"
        names.append(tmp_path / f"f{i}.fits")
        fits.PrimaryHDU(image.astype("f4"), header).writeto(names[-1])
    return names


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("policy", ["first", "mean", "previous", "all-pairs", "joint"])
def test_the_shifts_are_those_of_the_frames(frames, tmp_path, policy):
    result = call(*frames, "--reference", policy, "--table", tmp_path / "t.ecsv")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    table = read(tmp_path / "t.ecsv")
    assert list(table["file"]) == [str(f) for f in frames]
    assert set(table["status"]) == {"ok"}
    for name, true in zip(("dx", "dy"), DRIFT.T, strict=True):
        assert table[name].unit == "pix"
        pull = (table[name] - true)[1:] / table[f"{name}_err"][1:]
        assert np.abs(pull).max() < 5
        assert np.all(table[f"{name}_err"][1:] < 0.1)
    assert table.meta["reference"] == policy
    assert table.meta["program"] == f"imreg-xp stack {imreg_xp.__version__}"
    assert table["date_obs"][2] == "2024-05-01T02:30:00"


@pytest.mark.parametrize("policy", ["first", "joint"])
def test_the_table_holds_what_the_library_finds(frames, tmp_path, policy):
    assert call(*frames, "--reference", policy, "--table", tmp_path / "t.ecsv", "--noise", "white").exit_code == 0
    table = read(tmp_path / "t.ecsv")
    stack = np.stack([fits.getdata(f).astype("f8") for f in frames])
    want = imreg_xp.register_stack(policy, stack, noise="white")
    assert np.array_equal(np.stack([table["dy"], table["dx"]], axis=1), want.shift)
    assert np.array_equal(np.stack([table["dy_err"], table["dx_err"]], axis=1), want.shift_err)
    assert np.array_equal(table["cov_xy"], want.covariance[:, 0, 1])
    for name in ("scale", "background", "chi2", "dof", "overlap"):
        assert np.array_equal(table[name], getattr(want, name)), name


def test_the_sign_is_that_of_register(frames, tmp_path):
    assert call(*frames[:4], "--table", tmp_path / "t.ecsv").exit_code == 0
    single = CliRunner().invoke(main, ["register", str(frames[0]), str(frames[3])]).stdout
    numbers = [float(re.search(rf"shift {axis} +(\S+)", single).group(1)) for axis in "xy"]
    row = read(tmp_path / "t.ecsv")[3]
    assert numbers == pytest.approx([row["dx"], row["dy"]], abs=2e-3)
    assert numbers == pytest.approx(list(DRIFT[3]), abs=0.1)


def test_a_file_is_the_reference(frames, tmp_path):
    other = tmp_path / "other.fits"
    frames[2].rename(other)
    given = [f for f in frames if f != frames[2]]
    result = call(*given, "--reference", other, "--table", tmp_path / "t.ecsv", "--err", "2", "--ref-err", "2")
    assert result.exit_code == 0, result.output
    table = read(tmp_path / "t.ecsv")
    want = DRIFT[[0, 1, 3, 4, 5]] - DRIFT[2]
    assert np.allclose(np.stack([table["dx"], table["dy"]], axis=1), want, atol=0.1)
    assert np.all(np.abs(table["chi2"] / table["dof"] - 1) < 0.2)
    assert table.meta["err"] == table.meta["ref_err"] == "2"


def test_errors_of_the_frames_are_those_of_the_first_too(frames, tmp_path):
    assert call(*frames, "--err", "2", "--table", tmp_path / "t.ecsv").exit_code == 0
    table = read(tmp_path / "t.ecsv")[1:]
    assert np.all(np.abs(table["chi2"] / table["dof"] - 1) < 0.2)


def test_planes_and_hdus_are_picked(frames, tmp_path):
    cubes = []
    for i, f in enumerate(frames[:3]):
        image = fits.getdata(f)
        cubes.append(tmp_path / f"c{i}.fits")
        parts = [fits.PrimaryHDU(), fits.ImageHDU(np.stack([image * 0, image]), name="SCI")]
        fits.HDUList(parts).writeto(cubes[-1])
    assert call(*cubes, "--hdu", "SCI", "--plane", 1, "--table", tmp_path / "t.ecsv").exit_code == 0
    assert np.allclose(read(tmp_path / "t.ecsv")["dx"], DRIFT[:3, 0], atol=0.1)
    assert call(*(f"{c}[SCI]" for c in cubes), "--plane", 1).exit_code == 0
    refused(call(*cubes), "c0.fits", "--plane")


def test_people_get_a_line_for_each_frame(frames):
    result = call(*frames[:3])
    lines = result.stdout.splitlines()
    assert [Path(line.split()[0]).name for line in lines] == ["f0.fits", "f1.fits", "f2.fits"]
    assert "the same as the reference" in lines[0]
    assert re.search(r"x \+1\.\d+ \+- 0\.0\d+  y -0\.\d+ \+- 0\.0\d+ pix", lines[2])


# ---------------------------------------------------------------- frames that cannot be used


def test_bad_frames_get_a_row_and_the_others_go_on(frames, tmp_path):
    good = tmp_path / "good.ecsv"
    assert call(*frames, "--table", good).exit_code == 0
    content = frames[0].read_bytes()
    bad = {name: tmp_path / f"{name}.fits" for name in ("missing", "text", "truncated", "shape", "nan", "flat", "cube")}
    bad["text"].write_text("no FITS")
    bad["truncated"].write_bytes(content[:-9000])
    fits.PrimaryHDU(np.ones((5, 5))).writeto(bad["shape"])
    fits.PrimaryHDU(np.full(SHAPE, np.nan)).writeto(bad["nan"])
    fits.PrimaryHDU(np.full(SHAPE, 7.0)).writeto(bad["flat"])
    fits.PrimaryHDU(np.ones((2, *SHAPE))).writeto(bad["cube"])
    mixed = [bad["missing"], bad["nan"], *frames[:2], *list(bad.values())[1:4], *frames[2:], bad["flat"], bad["cube"]]
    out = tmp_path / "out"
    result = call(*mixed, "--table", tmp_path / "t.ecsv", "--out", out, "--coadd", tmp_path / "c.fits")
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    table = read(tmp_path / "t.ecsv")
    rows = {Path(row["file"]).stem: row for row in table}
    assert [str(f) for f in mixed] == list(table["file"])
    want = {
        "missing": ("cannot be read", "no such file"),
        "text": ("cannot be read", "not a FITS file"),
        "truncated": ("cannot be read", "truncated"),
        "cube": ("cannot be read", "--plane"),
        "shape": ("another shape", "5 x 5 pixels, but the stack has 72 x 60"),
        "nan": ("too few pixels", "too few valid pixels"),
        "flat": ("flat image", "an image is flat"),
    }
    for name, (status, words) in want.items():
        assert rows[name]["status"] == status
        assert words in rows[name]["message"]
        assert all(np.isnan(rows[name][column]) for column in NUMBERS)
        assert any(f"{name}.fits  {status}" in line for line in result.stdout.splitlines())
    for row in read(good):
        mine = rows[Path(row["file"]).stem]
        assert mine["status"] == "ok"
        assert [mine[c] for c in NUMBERS] == pytest.approx([row[c] for c in NUMBERS], abs=1e-9)
    assert {p.name for p in out.iterdir()} == {f"f{i}_aligned.fits" for i in range(6)}
    assert fits.getheader(tmp_path / "c.fits")["NCOMBINE"] == 6


def test_a_frame_that_cannot_be_used_does_not_say_what_size_all_have(frames, tmp_path):
    fits.PrimaryHDU(np.full((9, 9), np.nan)).writeto(tmp_path / "small.fits")
    result = call(tmp_path / "small.fits", *frames, "--table", tmp_path / "t.ecsv")
    assert result.exit_code == 1, result.output
    assert list(read(tmp_path / "t.ecsv")["status"]) == ["another shape"] + ["ok"] * 6


def test_a_file_that_comes_back_is_no_problem_any_more(frames):
    files = FrameFiles([str(f) for f in frames])
    away = frames[1].rename(frames[1].with_suffix(".away"))
    assert np.isnan(files[:2][1]).all()
    assert set(files.problems) == {1}
    away.rename(frames[1])
    assert np.isfinite(files[:2, ...]).all()
    assert not files.problems


def test_a_table_that_cannot_be_written_leaves_the_old_one(frames, tmp_path, monkeypatch):
    table = tmp_path / "t.ecsv"
    assert call(*frames[:3], "--table", table).exit_code == 0
    before = table.read_bytes()

    def full(_, path, **options):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Table, "write", full)
    refused(call(*frames, "--table", table, "--resume"), "t.ecsv", "No space left")
    assert table.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"t.ecsv", *(f.name for f in frames)}


def test_no_usable_frame_is_bad_input(frames, tmp_path):
    fits.PrimaryHDU(np.full(SHAPE, np.nan)).writeto(tmp_path / "nan.fits")
    before = contents(tmp_path)
    outputs = ("--table", tmp_path / "t.ecsv", "--out", tmp_path / "out")
    refused(call("no.fits", "nor.fits", *outputs), "no frame can be used", "no.fits: no such file")
    refused(call(tmp_path / "nan.fits", *outputs), "no frame can be used")
    refused(call(tmp_path / "nan.fits", "--reference", frames[0], *outputs), "no frame can be used")
    assert contents(tmp_path) == before
    assert call().exit_code == 2


def test_frames_that_show_something_else_are_exit_code_1(frames, tmp_path):
    noise = np.random.default_rng(5).standard_normal(SHAPE)
    fits.PrimaryHDU(noise).writeto(tmp_path / "noise.fits")
    result = call(*frames[:2], tmp_path / "noise.fits", "--max-shift", 3, "--table", tmp_path / "t.ecsv")
    assert result.exit_code == 1, result.output
    table = read(tmp_path / "t.ecsv")
    assert list(table["status"][:2]) == ["ok", "ok"]
    assert "search border" in table["status"][2]
    assert "border of the search" in table["message"][2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reference", "frist"], ["frist", "all-pairs", "no such file"]),
        (["--err", "0"], ["--err:", "positive"]),
        (["--err", "{tmp}/small.fits"], ["small.fits", "(5, 5)", "(60, 72)"]),
        (["--ref-err", "1"], ["--ref-err", "--reference first"]),
        (["--max-shift", "500"], ["--max-shift"]),
        (["--window", "1", "--reference", "all-pairs"], ["--window"]),
        (["--hdu", "7"], ["no HDU 7"]),
        (["--resume"], ["--resume", "--table"]),
        (["--table", "{tmp}/no/t.ecsv"], ["--table", "no directory"]),
        (["--table", "{tmp}/old"], ["--table", "old", "--overwrite"]),
        (["--table", "{tmp}/old", "--resume"], ["old", "no table of shifts"]),
        (["--coadd", "{tmp}/old"], ["--coadd", "--overwrite"]),
        (["--plot", "{tmp}/old.png"], ["--plot", "--overwrite"]),
        (["--plot", "{tmp}/p.xyz"], ["--plot", ".png"]),
        (["--coadd", "{tmp}/f2.fits", "--overwrite"], ["--coadd", "one of the inputs"]),
        (["--table", "{tmp}/f1.fits", "--resume"], ["--table", "one of the inputs"]),
        (["--coadd", "{tmp}/link.fits", "--overwrite"], ["one of the inputs"]),
        (["--table", "{tmp}/x", "--coadd", "{tmp}/x"], ["asked for twice"]),
        (["--out", "{tmp}/old"], ["--out", "no directory"]),
        (["--out", "{tmp}/no/where"], ["--out", "no such parent"]),
        (["--out", "{tmp}/full"], ["--out", "f3_aligned.fits", "--overwrite"]),
        (["--out", "{tmp}/full", "--table", "{tmp}/t", "--resume"], ["f3_aligned.fits", "--overwrite"]),
        (["--out", "{tmp}/clash", "{tmp}/full/f3.fits"], ["--out", "f3.fits", "would both"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else "",
)
def test_arguments_that_cannot_be_used(frames, tmp_path, arguments, words):
    fits.PrimaryHDU(np.ones((5, 5))).writeto(tmp_path / "small.fits")
    (tmp_path / "link.fits").symlink_to(frames[1])
    (tmp_path / "full").mkdir()
    for name in ("old", "old.png", "full/f3_aligned.fits"):
        (tmp_path / name).write_text("precious")
    before = contents(tmp_path)
    refused(call(*frames, *(a.format(tmp=tmp_path) for a in arguments)), *words)
    assert contents(tmp_path) == before
    assert not (tmp_path / "clash").exists()


# ---------------------------------------------------------------- what is written


def test_the_coadd_is_that_of_the_library(frames, tmp_path):
    path = tmp_path / "c.fits"
    assert call(*frames, "--coadd", path).exit_code == 0
    stack = np.stack([fits.getdata(f).astype("f8") for f in frames])
    want = imreg_xp.coadd(stack, imreg_xp.register_stack("first", stack))
    with fits.open(path) as hdus:
        assert [h.name for h in hdus] == ["MEAN", "VARIANCE", "COVERAGE"]
        for hdu, pixels in zip(hdus, want, strict=True):
            assert np.allclose(hdu.data, pixels, rtol=1e-9, atol=1e-9, equal_nan=True), hdu.name
            sky = wcs_of(hdu.header).pixel_to_world_values(10, 20)
            assert np.allclose(sky, wcs_of(fits.getheader(frames[0])).pixel_to_world_values(10, 20))
        assert hdus[0].header["BUNIT"] == "Jy/beam"
        assert hdus[1].header["BUNIT"] == "(Jy/beam)2"
        assert np.nanmax(hdus["COVERAGE"].data) == 6


def test_aligned_frames_match_the_reference(frames, tmp_path):
    before = contents(tmp_path)
    out = tmp_path / "out"
    assert call(*frames, "--out", out).exit_code == 0
    first = fits.getdata(frames[0])
    for i, f in enumerate(frames):
        aligned = out / f"f{i}_aligned.fits"
        assert np.nanstd(fits.getdata(aligned) - first) < 2.0 * 1.6
        assert fits.getheader(aligned)["CRVAL1"] == fits.getheader(f)["CRVAL1"]
        assert fits.getheader(aligned)["DATE-OBS"] == fits.getheader(f)["DATE-OBS"]
    assert {p: h for p, h in contents(tmp_path).items() if p.parent == tmp_path} == before


def test_overwrite_replaces_outputs_and_leaves_none_that_is_wrong_now(frames, tmp_path):
    out, table = tmp_path / "out", tmp_path / "t.ecsv"
    assert call(*frames, "--out", out, "--table", table).exit_code == 0
    old = table.read_bytes()
    frames[2].write_text("broken")
    refused(call(*frames, "--out", out), "--overwrite")
    assert call(*frames, "--out", out, "--table", table, "--overwrite").exit_code == 1
    assert table.read_bytes() != old
    assert {p.name for p in out.iterdir()} == {f"f{i}_aligned.fits" for i in (0, 1, 3, 4, 5)}


def test_the_plot_shows_the_drift(frames, tmp_path):
    path = tmp_path / "p.png"
    assert call(*frames, "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("policy", ["first", "mean", "all-pairs"])
def test_threads_find_the_same(frames, tmp_path, policy, monkeypatch):
    monkeypatch.setattr("imreg_xp.stack_command._MOST_PER_CHUNK", 2)
    frames[3].write_text("no FITS")
    tables = []
    for threads in (1, 3):
        folder = tmp_path / f"{threads}"
        folder.mkdir()
        outputs = ("--table", folder / "t.ecsv", "--out", folder / "aligned", "--coadd", folder / "mean.fits")
        result = call(*frames, "--reference", policy, "--threads", threads, *outputs)
        assert result.exit_code == 1, result.output
        tables.append({p.name: fits.getdata(p) for p in folder.rglob("*.fits")})
        tables[-1]["table"] = (folder / "t.ecsv").read_text()
    assert tables[0].keys() == tables[1].keys()
    for name, alone in tables[0].items():
        np.testing.assert_array_equal(alone, tables[1][name], err_msg=name)


def test_the_cores_of_this_process_are_the_default():
    assert 1 <= _cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("dates", [True, False])
def test_the_figure_has_every_frame(dates):
    from imreg_xp.plotting import drift_figure

    shifts = DRIFT.copy()
    shifts[3] = np.nan
    when = np.arange(6)[::-1]
    if dates:
        when = np.datetime64("2024-05-01") + when.astype("m8[D]")
    figure = drift_figure(when, shifts, np.full((6, 2), 0.1))
    for axes, want in zip(figure.axes, DRIFT.T, strict=True):
        (bars,) = axes.containers
        assert np.array_equal(bars.lines[0].get_ydata(), want[[5, 4, 2, 1, 0]])
        marked = [line for line in axes.lines if "no reliable shift (1)" in str(line.get_label())]
        assert [len(line.get_xdata()) for line in marked] == [1]
        assert marked[0].get_xdata()[0] == when[3]
    assert figure.axes[1].get_xlabel() == ("DATE-OBS" if dates else "frame, from 0")


# ---------------------------------------------------------------- going on


def test_only_what_is_missing_is_done(frames, tmp_path, monkeypatch):
    table, whole = tmp_path / "t.ecsv", tmp_path / "whole.ecsv"
    monkeypatch.setattr("imreg_xp.stack_command._MOST_PER_CHUNK", 2)
    assert call(*frames, "--table", whole).exit_code == 0
    Table.read(whole)[:2].write(table, format="ascii.ecsv")
    from imreg_xp import stack_command

    registered = []
    original = stack_command.register_stack

    def counted(reference, images, **options):
        registered.append(len(images))
        return original(reference, images, **options)

    monkeypatch.setattr(stack_command, "register_stack", counted)
    assert call(*frames, "--table", table, "--resume").exit_code == 0
    assert registered == [2, 2]
    assert table.read_bytes() == whole.read_bytes()
    assert call(*frames, "--table", table, "--resume").exit_code == 0
    assert registered == [2, 2]
    assert table.read_bytes() == whole.read_bytes()


def test_frames_that_could_not_be_read_are_tried_again(frames, tmp_path):
    table, whole = tmp_path / "t.ecsv", tmp_path / "whole.ecsv"
    assert call(*frames, "--table", whole).exit_code == 0
    away = frames[4].rename(tmp_path / "away")
    assert call(*frames, "--table", table).exit_code == 1
    away.rename(frames[4])
    assert call(*frames, "--table", table, "--resume").exit_code == 0
    assert table.read_bytes() == whole.read_bytes()


def test_a_policy_of_the_whole_stack_starts_again_unless_all_is_there(frames, tmp_path, monkeypatch):
    table, whole = tmp_path / "t.ecsv", tmp_path / "whole.ecsv"
    assert call(*frames, "--reference", "joint", "--table", whole).exit_code == 0
    Table.read(whole)[:3].write(table, format="ascii.ecsv")
    assert call(*frames, "--reference", "joint", "--table", table, "--resume").exit_code == 0
    assert table.read_bytes() == whole.read_bytes()
    monkeypatch.setattr("imreg_xp.stack_command.register_stack", None)
    assert call(*frames, "--reference", "joint", "--table", table, "--resume").exit_code == 0
    assert table.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--noise", "white"], ["noise", "correlated", "white"]),
        (["--err", "3"], ["err"]),
        (["--reference", "mean"], ["reference", "first"]),
        (["--max-shift", "9"], ["max_shift"]),
    ],
)
def test_a_table_of_other_options_is_not_resumed(frames, tmp_path, change, words):
    table = tmp_path / "t.ecsv"
    assert call(*frames, "--table", table).exit_code == 0
    before = contents(tmp_path)
    refused(call(*frames, "--table", table, "--resume", *change), "t.ecsv", "cannot be resumed", *words)
    refused(call(*frames[:-1], "--table", table, "--resume"), "f5.fits", "not among the frames")
    refused(call(*frames[1:], "--table", table, "--resume"), "reference_frame")
    assert contents(tmp_path) == before


def test_aligned_frames_of_the_run_that_stopped_are_kept(frames, tmp_path):
    table, out = tmp_path / "t.ecsv", tmp_path / "out"
    assert call(*frames, "--table", table, "--out", out).exit_code == 0
    before = contents(out)
    times = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    (out / "f2_aligned.fits").unlink()
    assert call(*frames, "--table", table, "--out", out, "--resume").exit_code == 0
    assert contents(out) == before
    assert [p.name for p, t in times.items() if p.stat().st_mtime_ns != t] == ["f2_aligned.fits"]


def test_names_that_fits_cannot_hold_are_known_again(frames, tmp_path):
    odd = tmp_path / "Größe 1.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(fits.getdata(frames[1]), name="SCI")]).writeto(odd)
    table, out = tmp_path / "t.ecsv", tmp_path / "out"
    arguments = [frames[0], f"{odd}[SCI]", "--table", table, "--out", out]
    assert call(*arguments).exit_code == 0
    before = contents(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    assert {p.name for p in times} == {"f0_aligned.fits", "Größe 1_aligned.fits"}
    result = call(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert contents(tmp_path) == before
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == times


def test_more_frames_may_follow(frames, tmp_path):
    table, whole = tmp_path / "t.ecsv", tmp_path / "whole.ecsv"
    assert call(*frames[:3], "--table", table).exit_code == 0
    assert call(*frames, "--table", table, "--resume").exit_code == 0
    assert call(*frames, "--table", whole).exit_code == 0
    assert table.read_bytes() == whole.read_bytes()


def test_rows_that_were_to_be_replaced_are_not_resumed(frames, tmp_path, monkeypatch):
    table = tmp_path / "t.ecsv"
    assert call(*frames, "--table", table).exit_code == 0

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("imreg_xp.stack_command.register_stack", interrupted)
    assert call(*frames, "--table", table, "--overwrite").exit_code == 130
    assert not table.exists()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Write many small frames, one of them bad."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(8)
    scene = seen((64, 64), lambda x, y: (x, y))
    names = []
    for i in range(320):
        image = np.roll(scene, tuple(rng.integers(-2, 3, 2)), (0, 1))[8:56, 8:56] + rng.standard_normal((48, 48))
        names.append(folder / f"m{i:03d}.fits")
        fits.PrimaryHDU(image.astype("f4")).writeto(names[-1])
    names[50].write_text("broken")
    return names


def command(frames, table, out, *more):
    return [sys.executable, "-m", "imreg_xp", "stack", *map(str, frames), "--table", table, "--out", out, *more]


def killed(arguments, table, rng):
    """Start a command and kill it at a random moment; return its exit code."""
    before = table.stat().st_mtime_ns if table.exists() else 0
    run = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if rng.random() < 0.7:
        wait_for_rows(run, table, before)
        time.sleep(rng.uniform(0, 0.6))
    else:
        time.sleep(rng.uniform(0, 1.2))
    run.kill()
    return run.wait(30)


def wait_for_rows(run, table, before=0):
    """Wait until the first rows are written: from here on there is something to lose."""
    deadline = time.monotonic() + 30
    while run.poll() is None and time.monotonic() < deadline:
        if table.exists() and table.stat().st_mtime_ns != before:
            break
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_doubled(many, tmp_path):
    whole, table = tmp_path / "whole.ecsv", tmp_path / "t.ecsv"
    out = [tmp_path / name for name in ("whole", "out")]
    assert subprocess.run(command(many, whole, out[0]), capture_output=True, check=False).returncode == 1
    want, files = whole.read_bytes(), {p.name: h for p, h in contents(out[0]).items()}
    rng = np.random.default_rng(11)
    arguments = command(many, table, out[1], "--resume")
    lines = want.splitlines()
    kills, lengths, had = 0, [], 0
    while kills < 20:
        kills += killed(arguments, table, rng) == -signal.SIGKILL
        if not table.exists():
            continue
        lengths.append(len(read(table)))
        assert lengths[-1] >= had
        # the first rows of the whole, none of them twice
        assert table.read_bytes().splitlines() == lines[: len(lines) - len(many) + lengths[-1]]
        had = lengths[-1]
        if had == len(many):
            table.unlink()
            had = 0
    assert any(0 < n < len(many) for n in lengths), lengths
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == 1
    assert table.read_bytes() == want
    assert {p.name: h for p, h in contents(out[1]).items()} == files
    # nor is anything half done left behind
    assert {p.name for p in tmp_path.iterdir()} == {"whole.ecsv", "t.ecsv", "whole", "out"}


# the command, stuck in the third of its batches of frames; a shell lets what it runs in the background ignore Ctrl-C
STUCK = """
import signal
import time
import imreg_xp.cli
import imreg_xp.stack_command
from imreg_xp.FITS_tools import shift_table

shift_table._SHARE = 1e9  # no rewrite soon after another
register = imreg_xp.stack_command.register_stack

begun = []

def twice(*args, **kwargs):
    begun.append(1)
    if len(begun) == 3:
        print("stuck", flush=True)
        time.sleep(60)
    return register(*args, **kwargs)

imreg_xp.stack_command.register_stack = twice
signal.signal(signal.SIGINT, signal.default_int_handler)
imreg_xp.cli.main()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_leaves_a_table_that_can_be_resumed(many, tmp_path, threads):
    whole, table = tmp_path / "whole.ecsv", tmp_path / "t.ecsv"
    assert call(*many, "--table", whole).exit_code == 1

    # what a thread is at is waited for
    stuck = STUCK.replace("time.sleep(60)", f"time.sleep({60 if threads == 1 else 4})")
    arguments = [sys.executable, "-c", stuck, *command(many, table, tmp_path / "out", "--threads", f"{threads}")[3:]]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert "stuck\n" in iter(run.stdout.readline, "")
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
    if threads == 1:
        # of both batches: the rows of the second were not written yet
        assert len(read(table)) == 64
    elif table.exists():
        assert len(read(table)) in (32, 64)
    assert call(*many, "--table", table, "--resume").exit_code == 1
    assert table.read_bytes() == whole.read_bytes()
