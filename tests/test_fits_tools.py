from __future__ import annotations

import gzip
import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS
from sky_scenes import seen, shifted_pair, sky_header, wcs_of

from imreg_xp.FITS_tools import (
    InputError,
    align_fits,
    aligned_image,
    atomic,
    corrected_header,
    load_error,
    load_image,
    write_aligned,
    write_corrected,
)
from imreg_xp.FITS_tools.reprojecting import Plane, _spline_gain, canvas, resample
from imreg_xp.FITS_tools.sky import comparable, pixel_map, sky_offset

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 4000, (20, 30))


def header_of(path, hdu=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.getheader(path, hdu)


# ---------------------------------------------------------------- loading


def test_a_file_becomes_native_floats_with_header_and_wcs(tmp_path):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(COUNTS.astype(">f4"), sky_header()).writeto(path)
    got = load_image(path)
    assert got.image.dtype == np.float32
    assert got.image.dtype.isnative
    np.testing.assert_array_equal(got.image, COUNTS)
    assert got.wcs.has_celestial
    assert got.header["CRVAL2"] == 70
    assert (got.path, got.hdu, got.axes, got.valid) == (str(path), 0, (1, 2), None)


@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "f8", "scaled", "comp", "gz", "comp_float"])
def test_every_storage_gives_the_same_pixels(tmp_path, kind):
    path = tmp_path / ("a.fits.gz" if kind == "gz" else "a.fits")
    if kind == "scaled":
        hdu = fits.ImageHDU(COUNTS.astype(">f8") * 0.5 - 7)
        hdu.scale("int16", bscale=0.5, bzero=-7)
        want = COUNTS * 0.5 - 7
    else:
        dtype = {"comp": "i2", "gz": "f8", "comp_float": "f4"}.get(kind, kind)
        make = fits.CompImageHDU if kind.startswith("comp") else fits.ImageHDU
        extra = {"quantize_level": 0.0, "compression_type": "GZIP_1"} if kind == "comp_float" else {}
        hdu = make(COUNTS.astype(dtype), **extra)
        want = COUNTS
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    got = load_image(path)
    assert got.hdu == 1
    assert got.image.dtype.kind == "f"
    np.testing.assert_allclose(got.image, want, rtol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "unsigned", "comp", "in memory", "array and header"])
def test_blank_pixels_are_invalid(tmp_path, kind):
    stored = COUNTS.astype("i2")
    stored[3, 4] = -99
    header = fits.Header([("BLANK", -99)])
    path = tmp_path / "a.fits"
    if kind == "array and header":
        source = (stored, header)
    elif kind == "in memory":
        source = fits.ImageHDU(stored)
        source.header["BLANK"] = -99
    elif kind == "comp":
        hdu = fits.CompImageHDU(stored, compression_type="RICE_1")
        hdu.header["BLANK"] = -99
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        source = path
    else:
        hdu = fits.PrimaryHDU(stored)
        hdu.header["BLANK"] = -99
        if kind == "unsigned":
            hdu.header["BZERO"] = 32768
            hdu = fits.PrimaryHDU.fromstring(
                hdu.header.tostring().encode() + stored.astype(">i2").tobytes(), do_not_scale_image_data=True
            )
            Path(path).write_bytes(hdu.header.tostring().encode() + stored.astype(">i2").tobytes() + bytes(2880))
        else:
            hdu.writeto(path)
        source = path
    got = load_image(source)
    assert np.isnan(got.image[3, 4])
    assert not got.valid[3, 4]
    assert got.valid.sum() == COUNTS.size - 1
    assert got.image[0, 0] == COUNTS[0, 0] + (32768 if kind == "unsigned" else 0)


def test_hdus_are_picked_by_number_name_and_version(tmp_path):
    path = tmp_path / "a.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])], name="TAB")
    planes = [fits.ImageHDU(np.full((5, 6), float(i)) + COUNTS[:5, :6], name="SCI", ver=i) for i in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), table, *planes]).writeto(path)
    assert load_image(path).hdu == 2
    for hdu, index in ((2, 2), ("3", 3), ("sci", 2), ("SCI,2", 3)):
        assert load_image(path, hdu=hdu).hdu == index
    with fits.open(path) as hdus:
        assert load_image(hdus, hdu="SCI,2").image[0, 0] == COUNTS[0, 0] + 2
        assert load_image(hdus[2]).image[0, 0] == COUNTS[0, 0] + 1
    for hdu, message in ((9, "no HDU 9"), ("DQ", "no HDU DQ"), ("TAB", "holds no image"), (0, "holds no image")):
        with pytest.raises(InputError, match=message):
            load_image(path, hdu=hdu)


def test_axes_of_length_one_are_dropped_and_said_so(tmp_path):
    path = tmp_path / "a.fits"
    header = sky_header()
    header["CTYPE3"], header["CRVAL3"], header["CDELT3"], header["CRPIX3"] = "FREQ", 1.4e9, 1e6, 1.0
    header["CTYPE4"], header["CRVAL4"], header["CDELT4"], header["CRPIX4"] = "STOKES", 1.0, 1.0, 1.0
    header["CD3_3"], header["CD4_4"] = 1e6, 1.0
    fits.PrimaryHDU(COUNTS[None, None].astype("f4"), header).writeto(path)
    got = load_image(path)
    assert got.image.shape == (20, 30)
    assert got.wcs.has_celestial
    assert got.wcs.naxis == 2
    assert any("length 1 dropped" in note for note in got.notes)
    odd = load_image((np.moveaxis(COUNTS[None], 0, 1), None))
    assert odd.axes == (1, 3)


def test_cubes_need_a_plane_and_the_message_says_how(tmp_path):
    path = tmp_path / "cube.fits"
    cube = np.arange(3)[:, None, None] * 1000.0 + COUNTS
    fits.PrimaryHDU(cube).writeto(path)
    with pytest.raises(InputError, match=r"cube of shape .*--plane N .*0 to 2"):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, plane=2).image, cube[2])
    with pytest.raises(InputError, match="no plane 3"):
        load_image(path, plane=3)
    assert "single plane" in load_image(COUNTS, plane=3).notes[0]
    four = np.arange(6).reshape(2, 3)[..., None, None] * 1.0 + COUNTS
    np.testing.assert_array_equal(load_image((four, None), plane=4).image, four[1, 1])


def test_a_cube_after_a_flat_image_is_found_when_a_plane_is_asked_for(tmp_path):
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(COUNTS * 1.0), fits.ImageHDU(np.stack([COUNTS, COUNTS + 1.0]))]).writeto(path)
    assert load_image(path).hdu == 0
    assert load_image(path, plane=1).hdu == 1


@pytest.mark.parametrize(
    ("uncertainty", "array"),
    [(StdDevUncertainty, 2.0), (VarianceUncertainty, 4.0), (InverseVariance, 0.25)],
    ids=["std", "var", "ivar"],
)
def test_nddata_brings_mask_uncertainty_and_wcs(uncertainty, array):
    mask = np.zeros(COUNTS.shape, bool)
    mask[2, 5] = True
    sigma = uncertainty(np.full(COUNTS.shape, array))
    data = NDData(COUNTS * 1.0, mask=mask, uncertainty=sigma, wcs=wcs_of(sky_header()))
    got = load_image(data)
    assert not got.valid[2, 5]
    assert got.valid.sum() == COUNTS.size - 1
    np.testing.assert_allclose(got.err, 2.0)
    assert got.wcs.has_celestial
    ccd = load_image(CCDData(COUNTS * 1.0, unit="adu", header=sky_header()))
    assert ccd.wcs.has_celestial
    assert ccd.err is None


def test_masked_arrays_quantities_and_wcs_pairs():
    masked = np.ma.masked_less(COUNTS * 1.0, 100)
    np.testing.assert_array_equal(load_image((masked, sky_header())).valid, COUNTS >= 100)
    assert load_image((COUNTS * u.Jy, wcs_of(sky_header()))).wcs.has_celestial
    assert load_image(COUNTS).wcs is None
    with pytest.raises(TypeError, match="`thing` must be a path"):
        load_image(3, name="thing")
    for bad in (COUNTS > 5, COUNTS * 1j):
        with pytest.raises(InputError, match="real numbers"):
            load_image(bad)


def test_a_broken_wcs_is_noted_and_not_fatal():
    header = sky_header()
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = 1e-3
    got = load_image((COUNTS, header))
    assert got.wcs is None
    assert "coordinate system is unusable" in got.notes[0]


def test_inputs_are_copied_not_shared():
    mine = COUNTS.astype(float)
    load_image((mine, None)).image[0, 0] = -5
    assert mine[0, 0] == COUNTS[0, 0]


def test_errors_are_numbers_texts_and_maps(tmp_path):
    like = load_image(COUNTS)
    assert load_error(None, like) is None
    assert load_error("2.5", like) == 2.5
    assert load_error(3, like) == 3.0
    path = tmp_path / "err.fits"
    sigma = np.full(COUNTS.shape, 2.0)
    sigma[0, 0] = 0.0
    maps = [fits.ImageHDU(sigma, name="ERR"), fits.ImageHDU(sigma * 2, name="X")]
    fits.HDUList([fits.PrimaryHDU(), *maps]).writeto(path)
    np.testing.assert_array_equal(load_error(str(path), like), sigma)
    np.testing.assert_array_equal(load_error(f"{path}[X]", like), sigma * 2)
    zeros = np.zeros(COUNTS.shape)
    for bad, message in ((0, "positive"), ("-1", "positive"), ("nan", "positive"), (zeros, "no positive")):
        with pytest.raises(InputError, match=message):
            load_error(bad, like)
    with pytest.raises(InputError, match=r"err.*shape \(5, 5\)"):
        load_error(np.ones((5, 5)), like)


def _whole(path):
    fits.PrimaryHDU(COUNTS.astype("f4"), sky_header()).writeto(path)
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0, 1000, 2880, 3500, 4500])
@pytest.mark.parametrize("packed", [False, True])
def test_files_cut_short_are_refused(tmp_path, keep, packed):
    content = _whole(tmp_path / "whole.fits")[:keep]
    path = tmp_path / ("cut.fits.gz" if packed else "cut.fits")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=r"cut\.fits") as caught:
        load_image(path)
    assert "\n" not in str(caught.value)


def test_a_gzip_stream_cut_short_is_refused(tmp_path):
    packed = gzip.compress(_whole(tmp_path / "whole.fits"))
    path = tmp_path / "cut.fits.gz"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(InputError, match=r"cut\.fits\.gz"):
        load_image(path)


def test_compressed_tiles_cut_short_are_refused(tmp_path):
    path = tmp_path / "cut.fits"
    noise = RNG.integers(0, 60000, (100, 100)).astype("i4")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(noise)]).writeto(path)
    path.write_bytes(path.read_bytes()[:-6000])
    with pytest.raises(InputError, match=r"cut.fits.*truncated or damaged"):
        load_image(path)


def test_missing_padding_is_no_harm(tmp_path):
    content = _whole(tmp_path / "whole.fits")
    path = tmp_path / "short.fits"
    path.write_bytes(content[: content.rindex(COUNTS[-1].astype(">f4").tobytes()) + 4 * 30])
    got = load_image(path)
    np.testing.assert_array_equal(got.image, COUNTS)


# ---------------------------------------------------------------- the sky


def separation_arcsec(a, b):
    a, b = (SkyCoord(*np.transpose(p), unit="deg") for p in (a, b))
    return a.separation(b).arcsec


@pytest.mark.parametrize(("dec", "rotation"), [(70.0, 45.0), (-5.0, 0.0), (89.0, 130.0)])
def test_same_grid_the_corrected_header_agrees_with_the_reference_on_the_sky(tmp_path, dec, rotation):
    true = np.array([3.37, -2.61])
    header = sky_header(dec=dec, rotation=rotation)
    wrong = sky_header(dec=dec, rotation=rotation, crpix=(54.5, 44.0))
    reference, moving = shifted_pair(tmp_path, shift=true, header=header, moving_header=wrong)
    got = align_fits(reference, moving)
    assert got.found
    assert not got.reprojected
    assert abs((got.shift_xy - true) / np.sqrt(np.diag(got.covariance_xy))).max() < 4
    write_corrected(got, tmp_path / "new.fits")
    points = np.random.default_rng(5).uniform(0, 89, (100, 2))
    new = wcs_of(header_of(tmp_path / "new.fits")).all_pix2world(points, 0)
    should = wcs_of(header).all_pix2world(points + true, 0)
    found = wcs_of(header).all_pix2world(points + got.shift_xy, 0)
    error = 2.0 * np.sqrt(np.linalg.eigvalsh(got.covariance_xy).max())  # arcsec
    assert separation_arcsec(new, found).max() < 1e-4 * error
    assert separation_arcsec(new, should).max() < 3 * error


@pytest.mark.parametrize("slip", [(0.0, 0.0), (4.3, -3.1), (-20.0, 12.0)])
def test_other_grid_is_reprojected_and_the_corrected_header_agrees(tmp_path, slip):
    header = sky_header()
    truth = sky_header(rotation=12.0, scale=1.7, ra=150.03, dec=70.01, crpix=(60.0, 52.0))
    wrong = sky_header(rotation=12.0, scale=1.7, ra=150.03, dec=70.01, crpix=(60.0 + slip[0], 52.0 + slip[1]))
    there = pixel_map(*comparable(wcs_of(truth), wcs_of(header)))

    def to_scene(x, y):
        return np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0)

    fits.PrimaryHDU(seen((90, 100), lambda x, y: (x, y), noise=1.0), header).writeto(tmp_path / "ref.fits")
    moving = seen((110, 105), to_scene, noise=1.0, seed=9, gain=1.5, background=20.0)
    moving[40:44, 50:53] = np.nan
    fits.PrimaryHDU(moving, wrong).writeto(tmp_path / "mov.fits")
    got = align_fits(tmp_path / "ref.fits", tmp_path / "mov.fits")
    assert got.found
    assert got.reprojected
    assert 1.45 < float(got.registration.scale) < 1.55
    new = wcs_of(corrected_header(got))
    # where both images look
    points = np.random.default_rng(6).uniform(15, 80, (100, 2))
    error = 2.0 * np.sqrt(np.linalg.eigvalsh(got.covariance_xy).max())
    off = separation_arcsec(new.all_pix2world(points, 0), wcs_of(truth).all_pix2world(points, 0))
    assert off.max() < 3.5 * error
    assert off.max() < 0.1
    # the same as what the aligned image shows
    aligned = (aligned_image(got) - 20.0) / 1.5
    difference = (aligned - load_image(tmp_path / "ref.fits").image)[40:70, 20:80]
    assert np.nanstd(difference) < 1.5
    assert np.isnan(difference).mean() < 0.05


@pytest.mark.slow
def test_reprojected_errors_are_honest(tmp_path):
    header, other = sky_header(), sky_header(rotation=20.0)
    there = pixel_map(*comparable(wcs_of(other), wcs_of(header)))
    clean_ref = seen((64, 64), lambda x, y: (x, y))
    clean_mov = seen((64, 64), lambda x, y: np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0))
    rng = np.random.default_rng(7)
    pulls = []
    for _ in range(40):
        moving = clean_mov + 4.0 * rng.standard_normal(clean_mov.shape)
        got = align_fits((clean_ref, header), (moving, other), moving_err=4.0)
        pulls.append(got.shift_xy / np.sqrt(np.diag(got.covariance_xy)))
    assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < 1.25


def test_pixels_with_a_useless_error_do_not_count_on_another_grid():
    header, other = sky_header(), sky_header(rotation=20.0)
    there = pixel_map(*comparable(wcs_of(other), wcs_of(header)))
    ref = seen((64, 64), lambda x, y: (x, y), noise=1.0)
    mov = seen((64, 64), lambda x, y: np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0), noise=1.0, seed=4)
    sigma = np.full(mov.shape, 1.0)
    sigma[30:33, 30:33], sigma[40, 40] = 0.0, np.nan
    clean = align_fits((ref, header), (mov, other), moving_err=sigma)
    mov[30:33, 30:33], mov[40, 40] = 1e5, -1e5
    got = align_fits((ref, header), (mov, other), moving_err=sigma)
    np.testing.assert_allclose(got.shift_xy, clean.shift_xy, atol=1e-9)
    assert got.compared[1].valid.sum() == clean.compared[1].valid.sum()


def test_x_comes_first_in_shift_and_covariance():
    y, x = np.indices((80, 80), dtype=float)
    rng = np.random.default_rng(1)
    ridges = [
        np.exp(-((x - 40 - s) ** 2) / 8 - (y - 40) ** 2 / 800) + 0.05 * rng.standard_normal(x.shape) for s in (0, 2)
    ]
    got = align_fits(*((image, None) for image in ridges))
    assert abs(got.shift_xy[0] + 2) < 0.3
    assert got.covariance_xy[0, 0] < 0.1 * got.covariance_xy[1, 1]
    np.testing.assert_array_equal(got.covariance_xy[0, 1], got.registration.covariance[1, 0])


def test_the_sky_offset_is_what_astropy_says(tmp_path):
    header = sky_header()
    reference, moving = shifted_pair(tmp_path, shift=(6.2, 1.3))
    got = align_fits(reference, moving)
    wcs = wcs_of(header)
    # headers are alike, so the nominal position of a moving pixel is that of the same reference pixel
    middle = np.array([[47.0, 44.0]])
    start = SkyCoord(*wcs.all_pix2world(middle, 0)[0], unit="deg")
    end = SkyCoord(*wcs.all_pix2world(middle + got.shift_xy, 0)[0], unit="deg")
    east, north = start.spherical_offsets_to(end)
    np.testing.assert_allclose([got.sky.east, got.sky.north], [east.arcsec, north.arcsec], atol=2e-3)
    assert got.sky.frame == "RA/DEC"
    assert abs(got.sky.east) > 1


def test_sky_errors_follow_the_full_covariance():
    wcs = wcs_of(sky_header())
    covariance = np.array([[0.04, 0.019], [0.019, 0.01]])
    at, true = np.array([50.0, 40.0]), np.array([55.0, 42.0])
    got = sky_offset(wcs, at, true, covariance)
    draws = np.random.default_rng(8).multivariate_normal(true, covariance, 20000)
    start = SkyCoord(*wcs.all_pix2world(at[None], 0)[0], unit="deg")
    offsets = start.spherical_offsets_to(SkyCoord(*wcs.all_pix2world(draws, 0).T, unit="deg"))
    np.testing.assert_allclose([got.east_err, got.north_err], [o.arcsec.std() for o in offsets], rtol=0.03)
    # at 45 degrees the two errors differ by the sign of the correlation alone: nothing a rotated diagonal could give
    assert max(got.east_err, got.north_err) > 2 * min(got.east_err, got.north_err)


def test_solar_coordinates_need_no_frame_and_grow_to_the_west(tmp_path):
    header = fits.Header()
    for i, (name, value) in enumerate((("HPLN-TAN", 100.0), ("HPLT-TAN", -50.0)), start=1):
        header[f"CTYPE{i}"], header[f"CUNIT{i}"], header[f"CDELT{i}"] = name, "arcsec", 2.5
        header[f"CRVAL{i}"], header[f"CRPIX{i}"] = value, 50.0
    reference, moving = shifted_pair(tmp_path, header=header)
    got = align_fits(reference, moving)
    np.testing.assert_allclose([got.sky.east, got.sky.north], 2.5 * got.shift_xy * [-1, 1], rtol=1e-4)
    assert got.sky.frame == "HPLN/HPLT"
    turned = header.copy()
    turned["CROTA2"] = 5.0
    assert align_fits(reference, (load_image(moving).image, turned)).reprojected


@pytest.mark.parametrize("kind", ["none", "linear", "one", "two frames"])
def test_without_common_celestial_coordinates_there_are_pixels_only(tmp_path, kind):
    linear = fits.Header([("CTYPE1", "Solar-X"), ("CTYPE2", "Solar-Y"), ("CRPIX1", 5.0), ("CRPIX2", 6.0)])
    solar = fits.Header([("CTYPE1", "HPLN-TAN"), ("CTYPE2", "HPLT-TAN"), ("CDELT1", 1e-3), ("CDELT2", 1e-3)])
    a, b = {
        "none": (fits.Header(), fits.Header()),
        "linear": (linear, linear),
        "one": (sky_header(), fits.Header()),
        "two frames": (sky_header(), solar),
    }[kind]
    reference, moving = shifted_pair(tmp_path, header=a, moving_header=b)
    got = align_fits(reference, moving)
    assert got.found
    assert got.sky is None
    assert got.notes
    if kind == "linear":
        new = corrected_header(got)
        np.testing.assert_allclose([new["CRPIX1"], new["CRPIX2"]], [5, 6] - got.shift_xy)
    else:
        with pytest.raises(InputError, match="no header to correct"):
            corrected_header(got)


def test_equal_pixels_in_two_frames_are_the_same_sky(tmp_path):
    header = sky_header(dec=20.0)
    fk5 = header.copy()
    fk5["RADESYS"], fk5["EQUINOX"] = "FK5", 2000.0
    reference, moving = shifted_pair(tmp_path, header=header, moving_header=fk5)
    got = align_fits(reference, moving)
    assert not got.reprojected  # the frames differ by 20 mas, a constant over the field
    new = wcs_of(corrected_header(got))
    points = np.random.default_rng(5).uniform(0, 89, (100, 2))
    there = new.pixel_to_world(*points.T).icrs
    want = wcs_of(header).pixel_to_world(*(points + got.shift_xy).T)
    assert there.separation(want).arcsec.max() < 2e-3


def test_images_of_other_parts_of_the_sky_and_periodic_reprojection_are_refused(tmp_path):
    reference, moving = shifted_pair(tmp_path)
    pixels = load_image(moving).image
    with pytest.raises(InputError, match="do not overlap"):
        align_fits(reference, (pixels, sky_header(ra=160.0, rotation=10.0)))
    with pytest.raises(InputError, match="wrap needs images on one pixel grid"):
        align_fits(reference, (pixels, sky_header(rotation=10.0)), boundary="wrap")


def test_the_canvas_holds_both_images():
    to_reference = pixel_map(*comparable(wcs_of(sky_header(rotation=10.0)), wcs_of(sky_header())))
    on = canvas(to_reference, (90, 100), (90, 100))
    assert on.origin[0] < -5
    assert on.shape[0] > 100
    assert max(on.shape) < 220


# ---------------------------------------------------------------- resampling


@pytest.mark.parametrize("order", ["fine", "coarse"])
def test_resampling_keeps_the_scene_the_mask_and_the_noise(order):
    target = sky_header()
    source = sky_header(rotation=20.0, scale=2.0 if order == "fine" else 0.6, crpix=(150.0, 140.0))
    there = pixel_map(*comparable(wcs_of(source), wcs_of(target)))
    shape = (280, 300)
    image = seen(shape, lambda x, y: np.moveaxis(there(np.stack([x, y], axis=-1)), -1, 0))
    valid = np.ones(shape, bool)
    valid[130:150, 140:160] = False
    systems = comparable(wcs_of(source), wcs_of(target))
    got = resample(Plane(np.where(valid, image, np.nan), valid, 3.0), *systems, (90, 100))
    want = seen((90, 100), lambda x, y: (x, y))
    assert 0.5 < got.valid.mean() < 0.995
    tolerance = (
        0.15 if order == "fine" else 1.5
    )  # next to the hole; blocks of 3 x 3 pixels of a third of the size smooth the scene
    assert abs(got.image - want)[got.valid].max() < tolerance
    assert np.median(abs(got.image - want)[got.valid]) < 0.03 * tolerance
    noise = 3.0 * np.random.default_rng(1).standard_normal(shape)
    dirty = resample(Plane(np.where(valid, noise, np.nan), valid, 3.0), *systems, (90, 100))
    pull = (dirty.image / dirty.err)[dirty.valid]
    assert abs(pull.std() - 1) < 0.03


def test_the_gain_of_a_spline_is_the_sum_of_its_squared_weights():
    from scipy import ndimage

    impulses = np.eye(41)
    for fraction in (0.0, 0.2, 0.5, 0.9):
        weights = [ndimage.map_coordinates(row, [[20 + fraction]], order=3)[0] for row in impulses]
        np.testing.assert_allclose(_spline_gain(np.array([20 + fraction])), np.sum(np.square(weights)), rtol=2e-3)


# ---------------------------------------------------------------- writing


def sha(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["u2", "scaled", "comp", "gz", "multi"])
def test_the_corrected_file_keeps_every_byte_but_one_header(tmp_path, kind):
    reference, plain = shifted_pair(tmp_path)
    pixels = load_image(plain).image
    moving = tmp_path / ("m.fits.gz" if kind == "gz" else "m.fits")
    counts = np.round(pixels * 20 + 500).astype("u2")
    hdu, header = None, sky_header()
    header["OBSERVER"] = "Nobody"
    if kind == "comp":
        hdu = fits.CompImageHDU(counts.astype("i4"), header)
        hdus = [fits.PrimaryHDU(), hdu]
    elif kind == "scaled":
        hdu = fits.PrimaryHDU(pixels.astype("f8"), header)
        hdu.scale("int16", bscale=0.05, bzero=100)
        hdu.header["BLANK"] = -32768
        hdus = [hdu]
    elif kind == "multi":
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(counts[:5, :5]), fits.ImageHDU(counts, header, name="SCI")]
    else:
        hdus = [fits.PrimaryHDU(counts, header)]
    fits.HDUList(hdus).writeto(moving, checksum=True)
    before = sha(moving), sha(reference)
    got = align_fits(reference, moving, moving_hdu="SCI" if kind == "multi" else None)
    write_corrected(got, tmp_path / "new.fits")
    assert (sha(moving), sha(reference)) == before
    old_bytes = gzip.decompress(moving.read_bytes()) if kind == "gz" else moving.read_bytes()
    raw = {"disable_image_compression": True, "do_not_scale_image_data": True}
    with fits.open(moving, **raw) as old, fits.open(tmp_path / "new.fits", **raw) as new:
        assert len(old) == len(new)
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            changed = set(fits.HeaderDiff(a.header, b.header, ignore_comments=["*"]).diff_keyword_values)
            assert changed == ({"CRPIX1", "CRPIX2"} if i == got.moving.hdu else set())
            place, there = a.fileinfo(), b.fileinfo()
            size = place["datSpan"]
            content = (tmp_path / "new.fits").read_bytes()[there["datLoc"] : there["datLoc"] + size]
            assert content == old_bytes[place["datLoc"] : place["datLoc"] + size]
            assert b.header.get("OBSERVER") == a.header.get("OBSERVER")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "new.fits", checksum=True) as new:
            history = "\n".join(map(str, new[got.moving.hdu].header["HISTORY"]))
            new[got.moving.hdu].data.sum()
    for word in ("imreg-xp 0.", "shift x", "+-", "ref.fits", "arcsec", "CRPIX1 = 50"):
        assert word in history


def test_the_corrected_header_of_a_cube_plane(tmp_path):
    reference, moving = shifted_pair(tmp_path)
    cube = np.stack([load_image(moving).image] * 2)
    fits.PrimaryHDU(cube, sky_header()).writeto(tmp_path / "cube.fits")
    got = align_fits(reference, tmp_path / "cube.fits", plane=1)
    write_corrected(got, tmp_path / "new.fits")
    assert fits.getdata(tmp_path / "new.fits").shape == cube.shape
    np.testing.assert_allclose(header_of(tmp_path / "new.fits")["CRPIX1"], 50 - got.shift_xy[0])


@pytest.mark.parametrize("unit", ["deg", "arcsec"])
def test_a_distorted_image_is_corrected_where_the_distortion_stays_on_the_detector(tmp_path, unit):
    header = sky_header(ctype="TAN-SIP", crpix=(50.0, 45.0))
    header["A_ORDER"], header["B_ORDER"] = 2, 2
    header["A_2_0"], header["B_0_2"] = 4e-4, -3e-4
    moving_header = header.copy()
    if unit == "arcsec":
        for i in (1, 2):
            header[f"CUNIT{i}"] = "deg"
            moving_header[f"CUNIT{i}"] = "arcsec"
            moving_header[f"CRVAL{i}"] *= 3600
            for j in (1, 2):
                moving_header[f"CD{i}_{j}"] *= 3600
    slip = np.array([0.004, -0.003])  # degrees: the pointing of the moving image is off by several pixels
    there = pixel_map(*comparable(wcs_of(moving_header), wcs_of(header)))
    step = there(np.array([[50.0, 44.0]]))[0] - [50.0, 44.0]
    np.testing.assert_allclose(step, 0, atol=1e-6)
    wrong = moving_header.copy()
    for i in (1, 2):
        wrong[f"CRVAL{i}"] += slip[i - 1] * (3600 if unit == "arcsec" else 1)
    ref = seen((90, 100), lambda x, y: (x, y), noise=0.3)
    mov = seen((90, 100), lambda x, y: (x, y), noise=0.3, seed=8)
    got = align_fits((ref, header), (mov, wrong))
    assert got.reprojected
    new = corrected_header(got)
    points = np.random.default_rng(6).uniform(10, 80, (100, 2))
    off = separation_arcsec(wcs_of(new).all_pix2world(points, 0), wcs_of(moving_header).all_pix2world(points, 0))
    assert off.max() < 0.01  # 1/200 pixel; without a second look at the corrected image ten times as much
    assert got.correction.keyword == "CRVAL"


def test_the_aligned_image_lies_on_the_reference_with_its_coordinates(tmp_path):
    reference, moving = shifted_pair(tmp_path, shift=(12.4, -7.7), noise=0.2)
    cut = load_image(moving).image[:70, 5:]
    header = sky_header(crpix=(45.0, 45.0))
    header["FILTER"] = "F814W"
    fits.PrimaryHDU(cut, header).writeto(tmp_path / "cut.fits")
    got = align_fits(reference, tmp_path / "cut.fits")
    write_aligned(got, tmp_path / "out.fits")
    out, head = fits.getdata(tmp_path / "out.fits", header=True)
    ref = load_image(reference)
    assert out.shape == ref.image.shape
    assert out.dtype == ">f4"
    assert head["FILTER"] == "F814W"
    inside = np.isfinite(out)
    assert np.isnan(out[-5:]).all()
    assert inside[10:55, 25:90].all()
    assert np.std((out - ref.image)[inside]) < 0.5
    points = np.random.default_rng(1).uniform(0, 80, (10, 2))
    np.testing.assert_allclose(
        WCS(head).all_pix2world(points, 0), wcs_of(sky_header()).all_pix2world(points, 0), atol=1e-9
    )


def test_atomic_leaves_nothing_behind_when_writing_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with atomic(target) as name:
            name.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with atomic(target) as name:
        assert name.parent == tmp_path
        name.write_text("new")
    assert target.read_text() == "new"
    with pytest.raises(InputError, match=r"x.fits: cannot be written"), atomic(tmp_path / "no" / "x.fits") as name:
        name.write_text("lost")
