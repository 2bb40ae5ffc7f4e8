"""The documented FITS functions against astropy's coordinates and scenes with known offsets."""

from __future__ import annotations

import bz2
import inspect
import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from sky_scenes import blobs, shifted_pair, sky_header, wcs_of

import imreg_xp
from imreg_xp import FITS_tools
from imreg_xp.FITS_tools import (
    InputError,
    fits_overlap,
    get_cd,
    header_overlap,
    load_data,
    load_header,
    match_fits,
    project_to_header,
    register_fits,
)
from imreg_xp.FITS_tools.hcongrid import hcongrid, zoom_fits

SHIFT = (3.37, -2.61)  # (x, y) to apply to the second image


def with_size(header, shape):
    header = header.copy()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, shape[1], shape[0]
    return header


@pytest.fixture
def pair(tmp_path):
    return shifted_pair(tmp_path, shift=SHIFT, noise=0.5)


def seen_through(header, shape, reference):
    """Return the blobs of the reference's pixel frame as an image with another header sees them."""
    y, x = np.indices(shape)
    there = wcs_of(reference).all_world2pix(*wcs_of(header).all_pix2world(x, y, 0), 0)
    return blobs(*there)


# --- loading


def test_headers_from_everything(tmp_path, pair):
    header = fits.getheader(pair[0])
    text = tmp_path / "header.txt"
    header.totextfile(text)
    packed = tmp_path / "ref.fits.bz2"
    packed.write_bytes(bz2.compress((tmp_path / "ref.fits").read_bytes()))
    with fits.open(pair[0]) as hdus:
        sources = [header, dict(header), hdus, hdus[0], pair[0], tmp_path / "ref.fits", text, str(text), str(packed)]
        sources += [header.tostring(), header.tostring(sep="\n")]
        for source in sources:
            found = load_header(source)
            assert isinstance(found, fits.Header)
            assert found["CD1_1"] == header["CD1_1"]
            assert found["CTYPE2"] == "DEC--TAN"
    found = load_header(header)
    found["CRVAL1"] = 0.0
    assert header["CRVAL1"] != 0


def test_images_from_everything(pair):
    pixels = fits.getdata(pair[0])
    with fits.open(pair[0]) as hdus:
        for source in (pair[0], hdus, hdus[0], pixels):
            np.testing.assert_array_equal(load_data(source), pixels)


@pytest.mark.parametrize("function", [load_header, load_data])
def test_nothing_to_load_is_named(tmp_path, function):
    with pytest.raises(InputError, match=r"absent\.fits"):
        function(tmp_path / "absent.fits")
    with pytest.raises(TypeError):
        function(3)
    with pytest.raises(InputError):
        load_header("nothing here")


# --- the size of a pixel


@pytest.mark.parametrize("rotation", [0.0, 30.0, 45.0, 170.0])
def test_a_step_is_its_length_on_the_sky(rotation):
    header = sky_header(rotation=rotation)
    wcs = wcs_of(header)
    for n in (1, 2):
        ends = np.array([[50.0, 45.0], [50.0, 45.0]]) - 1 + np.eye(2)[n - 1] * np.array([[-0.5], [0.5]])
        sky = SkyCoord(wcs.pixel_to_world(*ends.T))
        for source in (wcs, header):
            assert abs(get_cd(source, n)) == pytest.approx(sky[0].separation(sky[1]).deg, rel=1e-6)
            assert np.sign(get_cd(source, n)) == np.sign(header[f"CD{n}_{n}"])


def test_a_step_of_any_kind_of_header():
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.1, "CDELT2": 0.2})
    assert (get_cd(header, 1), get_cd(header, 2)) == pytest.approx((-0.1, 0.2))
    header["CROTA2"] = 30.0
    assert get_cd(header, 1) == pytest.approx(-np.hypot(0.1 * np.cos(np.pi / 6), 0.1 * np.sin(np.pi / 6)))
    with pytest.raises(ValueError, match="`n`"):
        get_cd(header, 3)


# --- overlaps


def corners(header):
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    return np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])


def in_pixels_of(header, other):
    """Return the corners of `other` in pixels of `header`."""
    sky = wcs_of(other).pixel_to_world(*corners(other).T)
    return np.stack(wcs_of(header).world_to_pixel(sky), axis=-1)


@pytest.mark.parametrize("rotation", [0.0, 30.0])
@pytest.mark.parametrize("ra", [150.0, 0.001])
def test_the_union_holds_both_and_no_more(rotation, ra):
    first = with_size(sky_header(rotation=rotation, ra=ra, dec=20.0), (90, 100))
    second = with_size(sky_header(rotation=rotation + 20, ra=ra - 0.02, dec=20.01), (60, 50))
    union = header_overlap(first, second)
    both = np.concatenate([in_pixels_of(union, h) for h in (first, second)])
    size = np.array([union["NAXIS1"], union["NAXIS2"]])
    assert (both > -0.51).all()
    assert (both < size - 0.49).all()
    # less than a pixel to spare
    assert (both.min(axis=0) < 0.5).all()
    assert (both.max(axis=0) > size - 1.5).all()
    assert get_cd(union, 2) == pytest.approx(get_cd(first, 2))


def test_the_intersection_is_where_both_have_pixels():
    first = with_size(sky_header(rotation=0, dec=20.0), (90, 100))
    moved = first.copy()
    moved["CRPIX1"], moved["CRPIX2"] = first["CRPIX1"] + 30, first["CRPIX2"] - 20
    common = header_overlap(first, moved, overlap="intersection")
    assert (common["NAXIS1"], common["NAXIS2"]) == (70, 70)
    np.testing.assert_allclose(in_pixels_of(first, common).min(axis=0), (-0.5, 19.5), atol=1e-6)
    turned = with_size(sky_header(rotation=45, dec=20.0, crpix=(10.0, 10.0)), (20, 20))
    common = header_overlap(first, turned, overlap="intersection")
    inside = in_pixels_of(common, turned)
    assert (inside > -0.6).all()
    assert (inside < np.array([common["NAXIS1"], common["NAXIS2"]]) - 0.4).all()


def test_overlaps_of_other_frames_and_files(tmp_path, pair):
    first = with_size(sky_header(rotation=0, dec=20.0), (90, 100))
    galactic = wcs_of(first).pixel_to_world(49, 44).galactic
    second = with_size(sky_header(rotation=0), (90, 100))
    second["CTYPE1"], second["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    second["CRVAL1"], second["CRVAL2"] = galactic.l.deg, galactic.b.deg
    union = header_overlap(first, second)
    assert (in_pixels_of(union, second) > -0.51).all()
    assert fits_overlap(*pair)["NAXIS1"] == 100
    assert fits_overlap(*pair, overlap="intersection")["NAXIS2"] == 90


def test_overlaps_that_are_none():
    first = with_size(sky_header(dec=20.0), (90, 100))
    far = with_size(sky_header(dec=23.0), (90, 100))
    with pytest.raises(InputError, match="in common"):
        header_overlap(first, far, overlap="intersection")
    with pytest.raises(InputError, match="max_separation"):
        header_overlap(first, far, max_separation=1)
    with pytest.raises(ValueError, match="`overlap`"):
        header_overlap(first, far, overlap="both")
    with pytest.raises(InputError, match="NAXIS"):
        header_overlap(first, sky_header())
    with pytest.raises(InputError, match="coordinate"):
        header_overlap(first, fits.Header({"NAXIS1": 3, "NAXIS2": 3}))


# --- grids


def test_projecting_shows_the_sky_of_the_header(tmp_path):
    own = sky_header(rotation=0)
    target = with_size(sky_header(rotation=25, scale=1.5, crpix=(40.0, 30.0)), (60, 80))
    path = tmp_path / "own.fits"
    fits.PrimaryHDU(seen_through(own, (90, 100), own), own).writeto(path)
    expected = seen_through(target, (60, 80), own)
    for found in (
        project_to_header(path, target, order="bicubic", quiet=True),
        hcongrid(fits.getdata(path), own, target, order="bicubic"),
    ):
        good = np.isfinite(found)
        assert good.mean() > 0.5
        np.testing.assert_allclose(found[good], expected[good], atol=0.02 * np.ptp(expected))


@pytest.mark.parametrize("factor", [2, 0.5, 1.7])
@pytest.mark.parametrize("kind", ["CD", "PC"])
def test_a_zoomed_image_shows_the_same_sky(tmp_path, factor, kind):
    header = sky_header(rotation=30)
    if kind == "PC":
        header = wcs_of(header).to_header()
    image = seen_through(header, (60, 70), sky_header())
    path = tmp_path / "own.fits"
    fits.PrimaryHDU(image, header).writeto(path)
    before = path.read_bytes()
    zoomed = zoom_fits(path, factor, order="bicubic")
    assert zoomed.data.shape == (round(60 * factor), round(70 * factor))
    assert get_cd(zoomed.header, 1) == pytest.approx(get_cd(header, 1) / factor)
    np.testing.assert_allclose(
        in_pixels_of(with_size(header, (60, 70)), zoomed.header).max(axis=0), (69.5, 59.5), atol=1e-6
    )
    expected = seen_through(zoomed.header, zoomed.data.shape, sky_header())
    good = np.isfinite(zoomed.data)
    # a spline knows less at the border
    edge = round(5 * factor)
    good[:edge], good[-edge:], good[:, :edge], good[:, -edge:] = False, False, False, False
    np.testing.assert_allclose(zoomed.data[good], expected[good], atol=0.02 * np.ptp(expected))
    assert path.read_bytes() == before


def test_bad_pixels_are_kept_or_filled():
    header = with_size(sky_header(rotation=0), (40, 50))
    image = seen_through(header, (40, 50), sky_header())
    image[20, 20] = np.nan
    assert np.isnan(hcongrid(image, header, header)[20, 20])
    assert np.all(np.isfinite(hcongrid(image, header, header, preserve_bad_pixels=False)))
    with pytest.raises(ValueError, match="`scalefactor`"):
        zoom_fits((image, header), 0)


def test_matching_puts_the_second_on_the_first(pair, tmp_path):
    first, second, header = match_fits(*pair, return_header=True)
    np.testing.assert_array_equal(first, fits.getdata(pair[0]))
    np.testing.assert_allclose(second, fits.getdata(pair[1]), atol=1e-3)
    assert (header["NAXIS1"], header["NAXIS2"]) == (100, 90)
    other = with_size(sky_header(rotation=10), (50, 60))
    first, second = match_fits(*pair, header=other)
    assert first.shape == second.shape == (50, 60)
    cut_first, cut_second = match_fits(*pair, sigma_cut=2)
    np.testing.assert_array_equal(np.isnan(cut_first), np.isnan(cut_second))
    assert 0 < np.isfinite(cut_first).mean() < 0.5
    with pytest.raises(InputError, match="sigma_cut"):
        match_fits(*pair, sigma_cut=1e4)


# --- offsets


def separations(header, shape, offset):
    """Return the offset at the middle of the grid by astropy: along longitude and latitude, degrees."""
    middle = (np.array(shape[::-1]) - 1) / 2
    wcs = wcs_of(header)
    here, there = wcs.pixel_to_world(*middle), wcs.pixel_to_world(*(middle + offset))
    return [v.deg for v in here.spherical_offsets_to(there)], here.separation(there).deg


@pytest.mark.parametrize("rotation", [0.0, 45.0])
def test_offsets_on_the_sky_are_those_of_astropy(tmp_path, rotation):
    paths = shifted_pair(tmp_path, shift=SHIFT, noise=0.5, header=sky_header(rotation=rotation, dec=70.0))
    found = register_fits(*paths)
    xoff, yoff, xw, yw, ex, ey, exw, eyw = found
    assert abs(xoff + SHIFT[0]) < 3 * ex
    assert abs(yoff + SHIFT[1]) < 3 * ey
    parts, apart = separations(fits.getheader(paths[0]), (90, 100), (xoff, yoff))
    np.testing.assert_allclose((xw, yw), parts, atol=0.01 * min(exw, eyw))
    assert abs(np.hypot(xw, yw) - apart) < 0.01 * min(exw, eyw)
    # errors turn with the header
    a = np.deg2rad(rotation)
    turned = np.hypot([ex * np.cos(a), ex * np.sin(a)], [ey * np.sin(a), ey * np.cos(a)]) * 2 / 3600
    np.testing.assert_allclose((exw, eyw), turned, rtol=1e-3)


METHODS = {
    "chi2": imreg_xp.chi2_shift,
    "iterzoom": imreg_xp.chi2_shift_iterzoom,
    "correlation": imreg_xp.cross_correlation_shifts,
    "images": imreg_xp.register_images,
}


@pytest.mark.parametrize("name", METHODS)
def test_any_shift_function_may_measure(tmp_path, name):
    paths = shifted_pair(tmp_path, shift=(3.0, -2.0), noise=0.5)
    found = register_fits(*paths, register_method=METHODS[name])
    assert len(found) == 8
    tol = 0.15 if name != "images" else 1.5  # which takes the images for periodic, in whole pixels
    np.testing.assert_allclose(found[:2], (-3.0, 2.0), atol=tol)


def test_different_grids_borders_of_nan_and_an_error_file(tmp_path):
    first_header, second_header = sky_header(rotation=0), sky_header(rotation=20, crpix=(60.0, 50.0))
    rng = np.random.default_rng(5)
    first = seen_through(first_header, (90, 100), first_header) + rng.normal(size=(90, 100))
    wrong = second_header.copy()
    # the header says it lies elsewhere, by this many pixels along its own axes
    wrong["CRPIX1"] += 2.2
    wrong["CRPIX2"] -= 1.4
    sigma = 0.5 + 2.0 * (np.arange(110) / 110)[None, :] * np.ones((100, 1))
    second = seen_through(second_header, (100, 110), first_header) + sigma * rng.normal(size=(100, 110))
    first[:4], second[:, -5:] = np.nan, np.nan
    paths = [tmp_path / f"{name}.fits" for name in ("first", "second", "err")]
    for path, image, header in zip(paths, (first, second, sigma), (first_header, wrong, wrong), strict=True):
        fits.PrimaryHDU(image, header).writeto(path)
    before = [p.read_bytes() for p in paths]
    *numbers, one, two, moved, header = register_fits(
        paths[0],
        paths[1],
        errfile=paths[2],
        return_cropped_images=True,
        return_shifted_image=True,
        return_header=True,
        quiet=True,
    )
    xoff, yoff, *_ = numbers
    # where the wrong header puts the right sky
    middle = np.array([[49.5, 44.5]])
    sky = wcs_of(first_header).all_pix2world(middle, 0)
    pixel = wcs_of(second_header).all_world2pix(sky, 0)
    claimed = wcs_of(first_header).all_world2pix(wcs_of(wrong).all_pix2world(pixel, 0), 0)
    expected = (claimed - middle)[0]
    assert abs(xoff - expected[0]) < 4 * numbers[4] + 0.02
    assert abs(yoff - expected[1]) < 4 * numbers[5] + 0.02
    parts, apart = separations(first_header, (90, 100), (xoff, yoff))
    np.testing.assert_allclose(numbers[2:4], parts, atol=0.01 * min(numbers[6:8]))
    assert abs(np.hypot(*numbers[2:4]) - apart) < 0.01 * min(numbers[6:8])
    assert one.shape == two.shape == moved.shape == (90, 100)
    assert np.isnan(one[:4]).all()
    good = np.isfinite(one) & np.isfinite(moved)
    truth = seen_through(first_header, (90, 100), first_header)
    assert good.mean() > 0.5
    assert np.std((moved - truth)[good]) < 2.5
    assert np.std((two - truth)[np.isfinite(two)]) > 4
    assert header["CRPIX1"] == first_header["CRPIX1"]
    assert [p.read_bytes() for p in paths] == before


@pytest.mark.parametrize("flags", range(16))
def test_what_is_returned(pair, flags):
    names = ("return_error", "return_cropped_images", "return_shifted_image", "return_header")
    chosen = {name: bool(flags >> i & 1) for i, name in enumerate(names)}
    found = register_fits(*pair, **chosen)
    kinds = [float] * 4 + [float] * 4 * chosen["return_error"] + [np.ndarray] * 2 * chosen["return_cropped_images"]
    kinds += [np.ndarray] * chosen["return_shifted_image"] + [fits.Header] * chosen["return_header"]
    assert len(found) == len(kinds)
    assert all(isinstance(value, kind) for value, kind in zip(found, kinds, strict=True))


def test_a_number_as_error_and_no_shift(tmp_path, pair):
    scaled = [register_fits(*pair, errfile=e)[4] for e in (0.5, 1.0)]
    assert scaled[1] == pytest.approx(2 * scaled[0], rel=0.05)
    flat = tmp_path / "flat.fits"
    fits.PrimaryHDU(np.ones((90, 100)), sky_header()).writeto(flat)
    assert np.all(np.isnan(register_fits(pair[0], flat)))


def test_files_that_cannot_be_used_are_named(tmp_path, pair):
    with pytest.raises(InputError, match=r"absent\.fits"):
        register_fits(pair[0], tmp_path / "absent.fits")
    bare = tmp_path / "bare.fits"
    fits.PrimaryHDU(np.ones((9, 9))).writeto(bare)
    with pytest.raises(InputError, match=r"bare\.fits: no coordinate"):
        register_fits(pair[0], bare)
    with pytest.raises(InputError, match=r"bare\.fits: no coordinate"):
        match_fits(bare, pair[0])


def test_cross_correlation_of_files(pair):
    found = imreg_xp.cross_correlation_shifts_FITS(*pair)
    assert len(found) == 4
    np.testing.assert_allclose(found[:2], (-SHIFT[0], -SHIFT[1]), atol=0.2)
    assert len(imreg_xp.cross_correlation_shifts_FITS(*pair, return_cropped_images=True)) == 6
    whole = imreg_xp.cross_correlation_shifts_FITS(*pair, register_method=imreg_xp.chi2_shift, sigma_cut=False)
    np.testing.assert_allclose(whole[:2], register_fits(*pair)[:2], atol=1e-9)


# --- names


DEFAULTS = {
    header_overlap: {"max_separation": 180, "overlap": "union"},
    get_cd: {"n": 1},
    match_fits: {"header": None, "sigma_cut": False, "return_header": False},
    register_fits: {
        "errfile": None,
        "return_error": True,
        "register_method": imreg_xp.chi2_shift_iterzoom,
        "return_cropped_images": False,
        "return_shifted_image": False,
        "return_header": False,
    },
    imreg_xp.cross_correlation_shifts_FITS: {
        "return_cropped_images": False,
        "quiet": True,
        "sigma_cut": False,
        "register_method": imreg_xp.cross_correlation_shifts,
    },
}


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda f: f.__name__)
def test_documented_defaults(function):
    parameters = inspect.signature(function).parameters.values()
    given = {p.name: p.default for p in parameters if p.default is not p.empty}
    assert given == DEFAULTS[function]


def test_modules_and_functions_of_one_name():
    assert FITS_tools.fits_overlap is fits_overlap
    code = """
from imreg_xp.FITS_tools.fits_overlap import fits_overlap as a
import imreg_xp.FITS_tools.hcongrid, imreg_xp.FITS_tools.match_images
from imreg_xp import FITS_tools, cross_correlation_shifts_FITS
from imreg_xp.cross_correlation_shifts import cross_correlation_shifts_FITS as b
assert FITS_tools.fits_overlap is a and b is cross_correlation_shifts_FITS
assert callable(FITS_tools.hcongrid.zoom_fits) and callable(FITS_tools.match_images.register_fits)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
