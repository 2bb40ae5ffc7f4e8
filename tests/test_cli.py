from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from commands import refused
from sky_scenes import shifted_pair, sky_header, wcs_of

from imreg_xp.cli import main

TRUE = (3.37, -2.61)


def call(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def pair(tmp_path):
    return shifted_pair(tmp_path, shift=TRUE)


def sha(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---------------------------------------------------------------- what is found


def test_text_for_people(pair):
    result = call("register", *pair)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = {" ".join(line.split()[:2]): line for line in result.stdout.splitlines()}
    assert "+3.3" in lines["shift x"]
    assert "-2.6" in lines["shift y"]
    for key in ("shift x", "shift y", "sky east", "sky north"):
        assert "+-" in lines[key]
    assert "status 0" in lines
    for word in ("arcsec", "chi2/dof", "overlap", "RA/DEC"):
        assert word in result.stdout


SCHEMA = {
    "version": str,
    "reference": str,
    "moving": str,
    "model": str,
    "found": bool,
    "status": int,
    "status_text": str,
    "shift_pix": dict,
    "shift_err_pix": dict,
    "covariance_pix2": dict,
    # with rotation, for which there are tests of its own
    **dict.fromkeys(("angle_deg", "angle_err_deg", "magnification", "magnification_err", "covariance"), type(None)),
    "sky_arcsec": dict,
    "sky_err_arcsec": dict,
    "sky_frame": str,
    "sky_angle_deg": type(None),
    "sky_angle_err_deg": type(None),
    "scale": float,
    "background": float,
    "chi2": float,
    "dof": float,
    "reduced_chi2": float,
    "overlap": float,
    "reprojected": bool,
    "notes": list,
}


def strict_json(text):
    def fail(token):
        raise AssertionError(token)

    return json.loads(text, parse_constant=fail)


def test_json_for_programs(pair):
    result = call("register", *pair, "--json")
    assert result.exit_code == 0
    got = strict_json(result.stdout)
    assert {key: type(value) for key, value in got.items()} == SCHEMA
    for axis, true in zip("xy", TRUE, strict=True):
        error = got["shift_err_pix"][axis]
        assert 0 < error < 0.05
        assert abs(got["shift_pix"][axis] - true) < 4 * error
    wcs = wcs_of(sky_header())
    (ra0, dec0), (ra1, dec1) = wcs.all_pix2world([[50.0, 45.0], [50.0 + TRUE[0], 45.0 + TRUE[1]]], 0)
    want = np.array([(ra1 - ra0) * np.cos(np.deg2rad(dec0)), dec1 - dec0]) * 3600
    for key, value in zip(("east", "north"), want, strict=True):
        assert got["sky_err_arcsec"][key] > 0
        assert abs(got["sky_arcsec"][key] - value) < 4 * got["sky_err_arcsec"][key] + 0.01


def test_without_coordinates_the_sky_is_null_and_a_note_says_so(tmp_path):
    pair = shifted_pair(tmp_path, header=fits.Header())
    got = strict_json(call("register", *pair, "--json").stdout)
    assert got["found"]
    assert got["sky_arcsec"] is got["sky_err_arcsec"] is got["sky_frame"] is None
    assert "no coordinate system" in got["notes"][0]
    assert "sky" not in call("register", *pair).stdout.replace("on the sky", "")


def test_given_errors_scale_chi2(pair, tmp_path):
    sigma = tmp_path / "sigma.fits"
    fits.PrimaryHDU(np.full((90, 100), np.sqrt(2.0))).writeto(sigma)
    as_map = strict_json(call("register", *pair, "--err", sigma, "--json").stdout)
    as_number = strict_json(call("register", *pair, "--err", "1.4142135623730951", "--json").stdout)
    assert 0.85 < as_map["reduced_chi2"] < 1.15
    assert as_number["shift_pix"]["x"] == pytest.approx(as_map["shift_pix"]["x"], abs=1e-3)
    assert strict_json(call("register", *pair, "--err", 1, "--ref-err", 1, "--json").stdout)["found"]


def test_options_reach_the_fit(pair, tmp_path):
    wrap = strict_json(call("register", *pair, "--boundary", "wrap", "--noise", "white", "--json").stdout)
    assert wrap["overlap"] == 1.0
    assert call("register", *pair, "--max-shift", 6).exit_code == 0
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(fits.getdata(p), sky_header(), name=Path(p).stem) for p in pair)]
    both = tmp_path / "both.fits"
    fits.HDUList(hdus).writeto(both)
    got = strict_json(call("register", both, both, "--ref-hdu", "REF", "--hdu", 2, "--json").stdout)
    assert abs(got["shift_pix"]["x"] - TRUE[0]) < 0.05
    assert strict_json(call("register", f"{both}[REF]", f"{both}[2]", "--json").stdout)["scale"] == got["scale"]
    cube = tmp_path / "cube.fits"
    fits.PrimaryHDU(np.stack([np.zeros((90, 100)), fits.getdata(pair[1])]), sky_header()).writeto(cube)
    got = strict_json(call("register", pair[0], cube, "--plane", 1, "--json").stdout)
    assert abs(got["shift_pix"]["x"] - TRUE[0]) < 0.05


def test_everything_is_written_and_the_inputs_stay_as_they_are(pair, tmp_path):
    before = list(map(sha, pair))
    out, corrected, plot = (tmp_path / name for name in ("out.fits", "wcs.fits", "p.png"))
    result = call("register", *pair, "--out", out, "--wcs-out", corrected, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert list(map(sha, pair)) == before
    assert plot.read_bytes().startswith(b"\x89PNG")
    difference = fits.getdata(out) - fits.getdata(pair[0])
    assert np.nanstd(difference) < 2.0
    assert fits.getdata(corrected).tobytes() == fits.getdata(pair[1]).tobytes()
    assert {p.name for p in tmp_path.iterdir()} == {"ref.fits", "mov.fits", "out.fits", "wcs.fits", "p.png"}
    # with the corrected header there is nothing left to correct
    again = strict_json(call("register", pair[0], corrected, "--json").stdout)
    assert abs(again["sky_arcsec"]["east"]) < 1e-6
    assert abs(again["sky_arcsec"]["north"]) < 1e-6
    assert abs(again["shift_pix"]["x"] - TRUE[0]) < 0.05


# ---------------------------------------------------------------- no reliable shift


@pytest.mark.parametrize("values", [np.nan, 7.0], ids=["all NaN", "constant"])
@pytest.mark.parametrize("which", [0, 1])
def test_no_reliable_shift_is_exit_code_1_without_files(pair, tmp_path, values, which):
    with fits.open(pair[which], mode="update") as hdus:
        hdus[0].data[:] = values
    out = tmp_path / "out.fits"
    result = call(
        "register", *pair, "--json", "--out", out, "--wcs-out", tmp_path / "w.fits", "--plot", tmp_path / "p.png"
    )
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    got = strict_json(result.stdout)
    assert not got["found"]
    assert got["status"] > 0
    assert got["shift_pix"] == {"x": None, "y": None}
    assert got["sky_arcsec"] is None
    assert len(list(tmp_path.iterdir())) == 2
    text = call("register", *pair)
    assert text.exit_code == 1
    assert "status" in text.stdout
    assert "shift x" not in text.stdout


# ---------------------------------------------------------------- bad input


def cards(array):
    hdu = fits.PrimaryHDU(array)
    return hdu.header.tostring().encode() + (b"" if array is None else bytes(2880))


def table():
    hdu = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    return cards(None) + hdu.header.tostring().encode() + bytes(2880)


# what is left of a good file
DAMAGED = {
    "text": lambda _: b"no FITS at all\n" * 500,
    "empty": lambda _: b"",
    "truncated": lambda content: content[:-9000],
    "header only": lambda content: content[:2880],
    "table": lambda _: table(),
    "no data": lambda _: cards(None),
    "cube": lambda _: cards(np.zeros((3, 10, 10), "i2")),
    "one row": lambda _: cards(np.zeros((1, 20), "i2")),
    "spectrum": lambda _: cards(np.zeros(20, "i2")),
}

FILES = {
    "missing": "no such file",
    "text": "not a FITS file",
    "empty": "not a FITS file",
    "truncated": "truncated",
    "header only": "truncated",
    "table": "no HDU holds a 2-D image",
    "no data": "no HDU holds a 2-D image",
    "cube": "--plane",
    "one row": "no HDU holds a 2-D image",
    "spectrum": "no HDU holds a 2-D image",
    "directory": "is a directory",
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("which", [0, 1])
def test_files_that_cannot_be_used(pair, tmp_path, kind, which):
    path = Path(pair[which])
    content = path.read_bytes()
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(DAMAGED[kind](content))
    names = {p.name for p in tmp_path.iterdir()}
    result = call("register", *pair, "--out", tmp_path / "out.fits", "--wcs-out", tmp_path / "w.fits", "--json")
    refused(result, Path(pair[which]).name, FILES[kind])
    assert {p.name for p in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--err", "0"], ["Error: --err:", "positive"]),
        (["--err", "-2"], ["Error: --err:", "positive"]),
        (["--ref-err", "nan"], ["Error: --ref-err:", "positive"]),
        (["--err", "nowhere.fits"], ["nowhere.fits", "no such file"]),
        (["--err", "{tmp}/small.fits"], ["small.fits", "(5, 5)", "(90, 100)"]),
        (["--err", "{tmp}/zero.fits"], ["zero.fits", "no positive"]),
        (["--hdu", "7"], ["mov.fits", "no HDU 7"]),
        (["--ref-hdu", "SCI"], ["ref.fits", "no HDU SCI"]),
        (["--max-shift", "500"], ["--max-shift"]),
        (["--max-shift", "0"], ["--max-shift"]),
        (["--max-shift", "-3"], ["--max-shift"]),
        (["--max-shift", "nan"], ["--max-shift"]),
        (["--plot", "{tmp}/p.xyz"], ["--plot", ".png"]),
        (["--out", "{tmp}/no/out.fits"], ["--out", "no directory"]),
        (["--out", "{tmp}"], ["--out", "is a directory"]),
        (["--out", "{tmp}/old.fits"], ["--out", "old.fits", "--overwrite"]),
        (["--wcs-out", "{tmp}/old.fits"], ["--wcs-out", "--overwrite"]),
        (["--plot", "{tmp}/old.png"], ["--plot", "--overwrite"]),
        (["--out", "{tmp}/mov.fits", "--overwrite"], ["--out", "one of the inputs"]),
        (["--wcs-out", "{tmp}/ref.fits", "--overwrite"], ["one of the inputs"]),
        (["--wcs-out", "{tmp}/link.fits", "--overwrite"], ["one of the inputs"]),
        (["--wcs-out", "{tmp}/hard.fits", "--overwrite"], ["one of the inputs"]),
        (["--err", "{tmp}/sigma.fits[0]", "--out", "{tmp}/sigma.fits", "--overwrite"], ["one of the inputs"]),
        (["--out", "{tmp}/a.fits", "--wcs-out", "{tmp}/a.fits"], ["asked for twice"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else "",
)
def test_arguments_that_cannot_be_used(pair, tmp_path, arguments, words):
    fits.PrimaryHDU(np.ones((5, 5))).writeto(tmp_path / "small.fits")
    fits.PrimaryHDU(np.zeros((90, 100))).writeto(tmp_path / "zero.fits")
    fits.PrimaryHDU(np.ones((90, 100))).writeto(tmp_path / "sigma.fits")
    (tmp_path / "link.fits").symlink_to(pair[1])
    (tmp_path / "hard.fits").hardlink_to(pair[1])
    for name in ("old.fits", "old.png"):
        (tmp_path / name).write_text("precious")
    before = {p: sha(p) for p in tmp_path.iterdir()}
    refused(call("register", *pair, *(a.format(tmp=tmp_path) for a in arguments)), *words)
    assert {p: sha(p) for p in tmp_path.iterdir()} == before


def test_shapes_must_match_for_periodic_images(pair, tmp_path):
    small = tmp_path / "small.fits"
    fits.PrimaryHDU(fits.getdata(pair[1])[:60], sky_header()).writeto(small)
    refused(call("register", pair[0], small, "--boundary", "wrap"), "moving")
    assert call("register", pair[0], small).exit_code == 0


def test_a_corrected_header_takes_coordinates(tmp_path):
    pair = shifted_pair(tmp_path, moving_header=fits.Header())
    refused(
        call("register", *pair, "--wcs-out", tmp_path / "w.fits", "--out", tmp_path / "o.fits"), "mov.fits", "header"
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_overwrite_replaces_outputs(pair, tmp_path):
    old = tmp_path / "old.fits"
    old.write_text("old")
    assert call("register", *pair, "--out", old, "--overwrite").exit_code == 0
    assert fits.getdata(old).shape == (90, 100)


def test_if_one_output_fails_none_is_written(pair, tmp_path, monkeypatch):
    from imreg_xp.FITS_tools import write

    def full(alignment, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "save_corrected", full)
    result = call("register", *pair, "--out", tmp_path / "o.fits", "--wcs-out", tmp_path / "w.fits")
    refused(result, "w.fits", "No space left")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_plot_without_matplotlib_says_what_to_install(pair, tmp_path, monkeypatch):
    import imreg_xp

    monkeypatch.delitem(sys.modules, "imreg_xp.plotting", raising=False)
    monkeypatch.delattr(imreg_xp, "plotting", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    refused(call("register", *pair, "--plot", tmp_path / "p.png"), "matplotlib", "imreg-xp[plot]")


# ---------------------------------------------------------------- the command itself


def test_the_demo_finds_what_was_injected(tmp_path):
    plot = tmp_path / "demo.png"
    result = call("demo", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(", true ") == 4
    assert "every shift within 3 sigma" in result.stdout
    assert "HPLN/HPLT" in result.stdout
    assert "not celestial" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_demo_overwrites_no_file(tmp_path):
    plot = tmp_path / "demo.png"
    plot.write_text("precious")
    refused(call("demo", "--plot", plot), "--overwrite")
    assert plot.read_text() == "precious"


def test_the_demo_fails_when_the_shift_is_wrong(monkeypatch):
    from imreg_xp import demo

    class Wrong(demo.Pair):
        @property
        def shift(self):
            x, y = super().shift
            return x + 0.25, y

    monkeypatch.setattr(demo, "PAIRS", tuple(Wrong(**vars(pair)) for pair in demo.PAIRS))
    result = call("demo")
    assert result.exit_code == 1
    assert "FAILED" in result.stdout


def test_in_a_process_of_its_own(pair):
    command = [sys.executable, "-m", "imreg_xp", "register", *pair, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert strict_json(done.stdout)["found"]


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from imreg_xp.cli import main; main(['register', '--help'], standalone_mode=False); "
        "print([m for m in ('astropy', 'reproject', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "--wcs-out" in done.stdout
