"""FITS images that are turned and magnified: what is found, what is written, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib import resources

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from click.testing import CliRunner
from commands import refused
from scipy import ndimage
from sky_scenes import seen, sky_header, wcs_of
from turned_scenes import places

from imreg_xp.cli import main
from imreg_xp.FITS_tools import InputError, align_fits, aligned_image, corrected_header, write_corrected
from imreg_xp.FITS_tools.motions import PixelMotion, motion_of, restated, turn_on_sky
from imreg_xp.FITS_tools.sky import comparable, pixel_map

SHAPE = (90, 100)
CENTRE = ((SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2)
SHIFT, ANGLE, SIZE = (2.4, -3.1), 17.0, 1.06


def call(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def header_of(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.getheader(path)


def truth(x, y, *, size=SIZE):
    """Return where a pixel of the moving image lies in the reference, (x, y)."""
    c, s = np.cos(np.deg2rad(ANGLE)), np.sin(np.deg2rad(ANGLE))
    dx, dy = x - CENTRE[1], y - CENTRE[0]
    return CENTRE[1] + SHIFT[1] + size * (c * dx - s * dy), CENTRE[0] + SHIFT[0] + size * (s * dx + c * dy)


def write_pair(folder, header, moving_header=None, *, to_scene=None, noise=1.0):
    to_scene = truth if to_scene is None else to_scene
    images = seen(SHAPE, lambda x, y: (x, y), noise=noise, seed=3), seen(SHAPE, to_scene, noise=noise, seed=4, gain=1.4)
    paths = folder / "ref.fits", folder / "mov.fits"
    for path, image, head in zip(paths, images, (header, moving_header or header), strict=True):
        fits.PrimaryHDU(image.astype("f4"), head).writeto(path, overwrite=True)
    return paths


def in_form(form, *, rotation=45.0, dec=70.0):
    """Return a header whose matrix is in a form, and the keywords of that form."""
    header = sky_header(rotation=rotation, dec=dec)
    cd = np.array([[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    if form == "flipped":
        cd[0] *= -1
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = cd[i - 1, j - 1]
    if form in ("CD", "flipped"):
        return header
    for key in [key for key in header if key.startswith("CD")]:
        del header[key]
    steps = np.array([-2.0, 3.0 if form == "CROTA2, oblong" else 2.0]) / 3600
    header["CDELT1"], header["CDELT2"] = steps
    if form.startswith("CROTA2"):
        header["CROTA2"] = rotation
    if form == "PC":
        pc = cd / steps[:, None]
        for i in (1, 2):
            for j in (1, 2):
                header[f"PC{i}_{j}"] = pc[i - 1, j - 1]
    return header


KEPT = {
    "CD": {"CD1_1", "CD1_2", "CD2_1", "CD2_2"},
    "flipped": {"CD1_1", "CD1_2", "CD2_1", "CD2_2"},
    "PC": {"PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"},
    "CDELT": {"PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"},
    "CROTA2": {"CROTA2", "CDELT1", "CDELT2"},
    # a rotation of oblong pixels is not one of the sky: CROTA2 cannot hold it
    "CROTA2, oblong": {"PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"},
}


def distance(got, want):
    a, b = (SkyCoord(*np.transpose(p), unit="deg") for p in (got, want))
    return a.separation(b).arcsec


def errors_at(alignment, points):
    """Return 1 sigma, in reference pixels, of where points of the moving image lie, along the worst direction."""
    motion = motion_of(alignment.registration, alignment.reference.image.shape)
    return np.sqrt([np.linalg.eigvalsh(motion.covariance_at(p)).max() for p in points])


@pytest.mark.parametrize("form", KEPT)
def test_the_corrected_header_agrees_on_the_sky_and_keeps_its_form(tmp_path, form):
    header = in_form(form)
    reference, moving = write_pair(tmp_path, header)
    got = align_fits(reference, moving, model="similarity")
    assert got.found
    assert not got.reprojected
    write_corrected(got, tmp_path / "new.fits")
    assert fits.getdata(tmp_path / "new.fits").tobytes() == fits.getdata(moving).tobytes()
    new = header_of(tmp_path / "new.fits")
    points = np.random.default_rng(5).uniform(0, 89, (100, 2))
    there = wcs_of(new).all_pix2world(points, 0)
    motion = motion_of(got.registration, SHAPE)
    # to rounding what was found, and within its errors what is true
    assert distance(there, wcs_of(header).all_pix2world(motion(points), 0)).max() < 1e-5
    pixels = wcs_of(header).all_world2pix(there, 0)
    off = np.hypot(*(pixels - np.stack(truth(*points.T), axis=-1)).T)
    assert (off < 3 * errors_at(got, points)).all()
    linear = {key for key in new if key.startswith(("CD", "PC", "CROTA"))}
    assert linear == KEPT[form]
    assert {key for key in new if key in header and new[key] != header[key]} <= KEPT[form] | {"CRPIX1", "CRPIX2"}
    history = "".join(str(line) for line in new["HISTORY"])
    for word in ("imreg-xp 0.", "ref.fits", "model similarity", "shift x", "angle = +1", "magnification = 1.0", "+-"):
        assert word in history
    assert f"before: CRPIX1 = {header['CRPIX1']}" in history


def test_the_scale_is_in_cdelt_and_the_rotation_in_pc(tmp_path):
    got = align_fits(*write_pair(tmp_path, in_form("PC")), model="similarity")
    new = corrected_header(got)
    np.testing.assert_allclose(abs(new["CDELT1"]) * 3600, 2 * float(got.registration.magnification), rtol=1e-6)
    pc = np.array([[new[f"PC{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    np.testing.assert_allclose(pc @ pc.T, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("form", ["CD", "flipped", "CROTA2"])
@pytest.mark.parametrize("dec", [-20.0, 70.0])
def test_position_angles_change_as_the_headers_say(tmp_path, form, dec):
    reference, moving = write_pair(tmp_path, in_form(form, dec=dec))
    got = align_fits(reference, moving, model="rigid", noise="white")
    sign = -1 if form == "flipped" else 1
    assert abs(got.sky.angle - sign * float(got.registration.angle)) < 0.03  # meridians converge
    middle = np.array([[50.0, 45.0]])
    angles = []
    for wcs in (got.moving.wcs, wcs_of(corrected_header(got))):
        start, end = (SkyCoord(*wcs.all_pix2world(middle + by, 0)[0], unit="deg") for by in ([0, 0], [0.1, 0.2]))
        angles.append(start.position_angle(end).deg)
    change = (angles[1] - angles[0] + 180) % 360 - 180
    assert abs(change - got.sky.angle) < 2e-3
    assert got.sky.angle_err == pytest.approx(float(got.registration.angle_err), rel=0.05)


@pytest.mark.slow
def test_errors_on_the_sky_are_those_of_draws_near_the_pole():
    wcs = wcs_of(sky_header(dec=89.9))
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4)) * np.array([0.2, 0.2, 0.002, 0.002])[:, None]
    motion = PixelMotion(47 + 44j, 3 - 2j, 1.1 * np.exp(0.5j), root @ root.T)
    at = np.array([60.0, 30.0])
    angle, error = turn_on_sky(wcs, at, motion)
    drawn = []
    for v in rng.normal(size=(1500, 4)) @ root.T:
        factor = motion.factor * np.exp(1j * v[2]) * (1 + v[3] / abs(motion.factor))
        drawn.append(turn_on_sky(wcs, at, motion._replace(shift=motion.shift + complex(*v[:2]), factor=factor))[0])
    assert np.std(drawn) == pytest.approx(error, rel=0.06)
    assert abs(np.mean(drawn) - angle) < 0.2 * error
    # the shift takes part: the error of the angle in pixels alone is another one
    assert error > 1.1 * np.rad2deg(np.sqrt(motion.covariance[2, 2]))


def test_a_motion_after_another_is_one_with_the_errors_of_the_second():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4)) * 0.01
    first = PixelMotion(40 + 30j, 12 - 7j, 0.9 * np.exp(0.4j), np.zeros((4, 4)))
    second = PixelMotion(40 + 30j, 0.2 + 0.1j, 1.01 * np.exp(-0.02j), root @ root.T)
    nominal = rng.uniform(0, 80, (30, 2))
    both = restated(second, first(nominal), nominal, 40 + 30j, rigid=False)
    np.testing.assert_allclose(both(nominal), second(first(nominal)), atol=1e-10)
    assert both.factor == pytest.approx(first.factor * second.factor)
    points = rng.uniform(0, 80, (5, 2))
    for p in points:
        np.testing.assert_allclose(both.covariance_at(p), second.covariance_at(first(p)), rtol=1e-9)
    rigid = restated(second, first(nominal), nominal, 40 + 30j, rigid=True)
    assert abs(rigid.factor) == pytest.approx(1)
    assert (rigid.covariance[3] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rigid", "similarity"])
@pytest.mark.parametrize("flip", [False, True])
def test_on_other_grids_the_correction_is_that_of_the_moving_image(tmp_path, model, flip):
    header = in_form("flipped" if flip else "CD")
    size = 1.0 if model == "rigid" else 0.97
    right = sky_header(rotation=12.0, scale=1.7, ra=150.03, dec=70.01, crpix=(60.0, 52.0))
    wrong = sky_header(rotation=12.0 + 8.0, scale=1.7 * size, ra=150.03, dec=70.01, crpix=(64.3, 48.9))
    there = pixel_map(*comparable(wcs_of(right), wcs_of(header)))

    def to_scene(x, y):
        return np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0)

    reference, moving = write_pair(tmp_path, header, wrong, to_scene=to_scene)
    got = align_fits(reference, moving, model=model)
    assert got.found
    assert got.reprojected
    # on the sky the header is 8 degrees wrong: pixels of the reference turn the other way if it is flipped
    assert abs(abs(got.sky.angle) - 8) < 0.1
    assert float(got.registration.angle) * got.sky.angle * (-1 if flip else 1) > 0
    assert abs(float(got.registration.magnification) * size - 1) < 4 * float(got.registration.magnification_err) + 1e-9
    new = corrected_header(got)
    points = np.random.default_rng(6).uniform(15, 80, (100, 2))
    pixels = wcs_of(header).all_world2pix(wcs_of(new).all_pix2world(points, 0), 0)
    off = np.hypot(*(pixels - there(points)).T)
    nominal = wcs_of(header).all_world2pix(wcs_of(wrong).all_pix2world(points, 0), 0)
    errors = errors_at(got, nominal)
    assert (off < 3 * errors).all()
    assert (errors < 0.1).all()
    aligned = aligned_image(got) / 1.4
    difference = (aligned - fits.getdata(reference))[40:60, 30:70]
    assert np.nanstd(difference) < 1.5
    # what is reported is the way from where the wrong header has things
    motion = motion_of(got.registration, SHAPE)
    assert np.hypot(*(motion(nominal) - there(points)).T).max() < 0.1


def test_a_distortion_stays_on_the_detector(tmp_path):
    header = sky_header(ctype="TAN-SIP", crpix=(50.0, 45.0))
    header["A_ORDER"], header["B_ORDER"] = 2, 2
    header["A_2_0"], header["B_0_2"] = 4e-4, -3e-4
    wrong = header.copy()
    turn = np.deg2rad(5.0)
    cd = np.array([[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    cd = 0.98 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ cd
    for i in (1, 2):
        wrong[f"CRVAL{i}"] += 0.003
        for j in (1, 2):
            wrong[f"CD{i}_{j}"] = cd[i - 1, j - 1]
    reference, moving = write_pair(tmp_path, header, wrong, to_scene=lambda x, y: (x, y), noise=0.3)
    got = align_fits(reference, moving, model="similarity")
    assert got.reprojected
    assert got.correction.keyword == "CRVAL"
    new = corrected_header(got)
    assert {key for key in wrong if new[key] != wrong[key]} == {
        "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"
    }  # fmt: skip
    points = np.random.default_rng(6).uniform(10, 80, (100, 2))
    off = distance(wcs_of(new).all_pix2world(points, 0), wcs_of(header).all_pix2world(points, 0))
    assert off.max() < 0.04  # 1/50 pixel
    assert got.correction.residual < 0.02


def test_a_matrix_in_an_old_form_is_refused(tmp_path):
    header = in_form("CDELT")
    header["PC001001"], header["PC001002"], header["PC002001"], header["PC002002"] = 0.6, -0.8, 0.8, 0.6
    reference, moving = write_pair(tmp_path, header)
    got = align_fits(reference, moving, model="rigid")
    with pytest.raises(InputError, match=r"mov\.fits: .* form that cannot be corrected"):
        corrected_header(got)


# ---------------------------------------------------------------- the command, on real images


def real_pair(folder, name="aia_171.fits", *, angle, size, shift, seed, noise=0.05):
    """Write a shipped image and one that is turned, magnified and shifted, each with noise, and the same header."""
    with resources.as_file(resources.files("imreg_xp") / "data" / name) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, header = fits.getdata(path, header=True)
    for key in ("BSCALE", "BZERO", "BLANK"):
        header.remove(key, ignore_missing=True)
    bad = ndimage.binary_dilation(~np.isfinite(pixels), iterations=5)
    # a beam of 1.2 pixels: well enough sampled for splines to be right
    smooth = ndimage.gaussian_filter(np.where(np.isfinite(pixels), pixels, np.nanmedian(pixels)), 1.2)
    where = places(smooth.shape, [(n - 1) / 2 for n in smooth.shape], shift, angle, size)
    moving = ndimage.map_coordinates(smooth, where, order=5, cval=np.nan)
    lost = ndimage.map_coordinates(bad.astype(float), where, order=1) > 0
    rng = np.random.default_rng(seed)
    level = noise * smooth.std()
    reference = np.where(bad, np.nan, smooth) + level * rng.normal(size=smooth.shape)
    moving = 1.7 * (np.where(lost, np.nan, moving) + level * rng.normal(size=smooth.shape)) + 40
    paths = folder / "ref.fits", folder / "mov.fits"
    for path, image in zip(paths, (reference, moving), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.PrimaryHDU(image.astype("f4"), header).writeto(path)
    return paths


def off_by(got, key, true):
    return abs(got[key] - true) / got[key.replace("angle", "angle_err") if "angle" in key else f"{key}_err"]


@pytest.mark.parametrize(
    ("name", "angle", "size", "shift", "seed"),
    [
        ("aia_171.fits", 12.0, 0.95, (3.3, -2.4), 1),
        ("aia_171.fits", -131.0, 1.0, (-1.2, 4.7), 2),
        ("eit_195.fits", 33.0, 1.1, (2.2, 2.9), 3),
    ],
)
def test_a_real_image_turned_is_found_and_written_from_the_command_line(tmp_path, name, angle, size, shift, seed):
    pair = real_pair(tmp_path, name, angle=angle, size=size, shift=shift, seed=seed)
    model = "rigid" if size == 1 else "similarity"
    out, corrected, plot = (tmp_path / n for n in ("out.fits", "wcs.fits", "p.png"))
    result = call("register", *pair, "--model", model, "--json", "--out", out, "--wcs-out", corrected, "--plot", plot)
    assert result.exit_code == 0, result.output
    got = json.loads(result.stdout)
    assert got["model"] == model
    for axis, true in zip("yx", shift, strict=True):
        assert abs(got["shift_pix"][axis] - true) < 3 * got["shift_err_pix"][axis] < 0.05
    assert off_by(got, "angle_deg", angle) < 3
    assert got["angle_err_deg"] < 0.02
    if model == "similarity":
        assert off_by(got, "magnification", size) < 3
        assert 0 < got["magnification_err"] < 2e-4
    else:
        assert (got["magnification"], got["magnification_err"]) == (1, 0)
    assert np.asarray(got["covariance"]).shape == (4, 4)
    assert got["covariance"][0][0] == pytest.approx(got["covariance_pix2"]["xx"])
    assert got["covariance"][2][2] == pytest.approx(got["angle_err_deg"] ** 2)
    assert plot.read_bytes().startswith(b"\x89PNG")
    # the image lies on the reference: what is left is noise
    reference, moved = fits.getdata(pair[0]), fits.getdata(out)
    inside = np.isfinite(moved) & np.isfinite(reference)
    assert 0.4 < inside.mean() < 1
    left = (moved - got["background"]) / got["scale"] - reference
    assert left[inside].std() < 0.1 * reference[inside].std()
    # the corrected image holds the old pixels, and nothing is left to correct
    assert fits.getdata(corrected).tobytes() == fits.getdata(pair[1]).tobytes()
    if name == "aia_171.fits":
        again = call("register", pair[0], corrected, "--model", model, "--json")
        again = json.loads(again.stdout)
        assert abs(again["angle_deg"]) < got["angle_err_deg"]
        assert abs(again["sky_angle_deg"]) < got["angle_err_deg"]
        assert abs(again["magnification"] - 1) < 2e-4
        assert max(map(abs, again["shift_pix"].values())) < 0.02
    else:
        assert got["sky_angle_deg"] is None


def test_text_for_people_and_a_process_of_its_own(tmp_path):
    pair = real_pair(tmp_path, angle=12.0, size=0.95, shift=(3.3, -2.4), seed=4)
    command = [sys.executable, "-m", "imreg_xp", "register", *map(str, pair), "--model", "similarity"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = {" ".join(line.split()[:2]) if line[:3] in ("shi", "sky") else line.split()[0]: line
             for line in done.stdout.splitlines()}  # fmt: skip
    assert "about the middle of the reference" in lines["shift y"]
    assert "from +x to +y" in lines["angle"]
    assert "north through east" in lines["sky angle"]
    for key in ("shift x", "angle", "magnify", "sky angle"):
        assert "+-" in lines[key]
    text = call("register", *pair, "--model", "rigid").stdout
    assert "magnify    1 (fixed)" in text


def test_nothing_in_common_is_exit_code_1_without_files(tmp_path):
    pair = real_pair(tmp_path, angle=12.0, size=0.95, shift=(3.3, -2.4), seed=5)
    with fits.open(pair[1], mode="update") as hdus:
        hdus[0].data[:] = 7.0
    result = call("register", *pair, "--model", "similarity", "--json", "--wcs-out", tmp_path / "w.fits")
    assert result.exit_code == 1, result.output
    got = json.loads(result.stdout)
    assert got["angle_deg"] is got["sky_angle_deg"] is got["magnification"] is None
    assert len(list(tmp_path.iterdir())) == 2
    assert "angle" not in call("register", *pair, "--model", "similarity").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "rigid", "--boundary", "wrap"], ["--boundary", "overlap", "--model 'rigid'"]),
        (["--model", "similarity", "--max-shift", "500"], ["--max-shift"]),
        (["--model", "similarity", "--err", "-1"], ["--err", "positive"]),
    ],
)
def test_combinations_that_cannot_be(tmp_path, arguments, words):
    pair = write_pair(tmp_path, sky_header())
    refused(call("register", *pair, *arguments, "--out", tmp_path / "o.fits"), *words)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unknown_model_is_refused(tmp_path):
    pair = write_pair(tmp_path, sky_header())
    result = call("register", *pair, "--model", "affine")
    assert result.exit_code == 2
    assert "--model" in result.stderr
    with pytest.raises(InputError, match="`model` must be one of"):
        align_fits(*pair, model="affine")


def test_max_shift_counts_from_the_middle_of_the_reference_on_other_grids(tmp_path):
    header, right = sky_header(), sky_header(rotation=20.0, crpix=(80.0, 75.0))
    wrong = sky_header(rotation=20.0, crpix=(83.0, 73.0))
    there = pixel_map(*comparable(wcs_of(right), wcs_of(header)))
    pair = write_pair(
        tmp_path, header, wrong, to_scene=lambda x, y: np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0)
    )
    got = align_fits(*pair, model="rigid", max_shift=5)
    assert got.found
    assert np.hypot(*got.shift_xy) == pytest.approx(np.hypot(3, 2), abs=0.1)
