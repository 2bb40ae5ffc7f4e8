"""`spectral_shift`: redshifts of simulated spectra against the truth, and errors against their scatter."""

from __future__ import annotations

import tracemalloc
import types

import numpy as np
import pytest
from astropy import units
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

import imreg_xp
from imreg_xp import Status, spectral_shift
from imreg_xp.methods import SpectralShift

LIGHT = 299792.458
STEP = 2.3e-4  # of ln(wavelength), 69 km/s as in SDSS
REST = np.exp(np.arange(np.log(3200.0), np.log(5600.0), STEP))
LOG = np.exp(np.log(4000.0) + STEP * np.arange(1200))
LINEAR = np.linspace(4000.0, 5250.0, 1100)
SHORT_REST = np.exp(np.arange(np.log(3700.0), np.log(4700.0), STEP))
SHORT = np.exp(np.log(4000.0) + STEP * np.arange(500))


def lines(seed, count=70, depth=0.25):
    """Return a function of ln(wavelength): random absorption lines of 1.5 to 3 pixels (sigma)."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(np.log(3000), np.log(6000), count)
    depths, widths = rng.exponential(depth, count), STEP * rng.uniform(1.5, 3, count)

    def spectrum(log_wave):
        u = (log_wave[..., None] - centres) / widths
        return -np.sum(depths * np.exp(-u * u / 2), axis=-1)

    return spectrum


def continuum(log_wave):
    u = (log_wave - log_wave[0]) / (log_wave[-1] - log_wave[0])
    return 1 + 0.5 * u - 0.7 * u**2 + 0.2 * np.sin(3 * u)


def observed(star, z, wave, rng=None, noise=0.0):
    log_wave = np.log(wave)
    flux = continuum(log_wave) + star(log_wave - np.log1p(np.asarray(z))[..., None])
    return flux + noise * rng.normal(size=flux.shape) if noise else flux


def template(star, wave=REST):
    return 1 + star(np.log(wave))


def host(backend, result):
    assert type(result) is SpectralShift
    assert all(backend.owns(field) for field in result)
    return SpectralShift(*map(backend.to_numpy, result))


# --- the truth --------------------------------------------------------------------------------------------------------


def test_redshifts_on_every_library(backend, rng):
    star, other = lines(1), lines(2)
    z = np.array([[0.05, 0.0, 0.031], [0.02, -0.004, 0.07]])
    flux = observed(star, z, SHORT, rng, 0.05)
    flux[0, 1, 100:110] = np.nan
    stack = np.stack([template(other, SHORT_REST), template(star, SHORT_REST)])
    found = host(
        backend,
        spectral_shift(
            backend.asarray(flux),
            backend.asarray(stack),
            wavelength=backend.asarray(SHORT.astype(np.float32)) if backend.library == "torch" else SHORT,
            template_wavelength=SHORT_REST,
            err=backend.asarray(np.full(flux.shape, 0.05)),
            z_range=(-0.02, 0.08),
        ),
    )
    assert all(field.shape == (2, 3, 2) for field in found)
    assert np.all(found.template[..., 0] == 1)
    assert np.all(np.abs(found.redshift - z[..., None])[..., 0] < 5 * found.redshift_err[..., 0])
    assert np.all(found.velocity_err[..., 0] < 20)
    assert np.all(found.delta_chi2[..., 0] > 50)
    np.testing.assert_allclose(found.confidence[..., 0], 1, atol=1e-3)
    np.testing.assert_allclose(found.velocity, LIGHT * found.redshift, rtol=1e-5)
    assert np.all(found.status[..., 0] == 0)


@pytest.mark.parametrize("pixels", [0, 3, -7, 40])
def test_whole_pixels_of_a_logarithmic_grid(pixels):
    star = lines(3)
    wave = np.exp(np.log(REST[0]) + STEP * (np.arange(1200) + 500))
    flux = 1 + star(np.log(wave) - pixels * STEP)
    found = spectral_shift(flux, template(star), wavelength=wave, template_wavelength=REST)
    # the continuum is fitted to other lines in either
    np.testing.assert_allclose(found.redshift, np.expm1(pixels * STEP), atol=STEP / 100)


def test_the_step_of_the_wavelengths_does_not_matter():
    star, z = lines(4), 0.0371
    uneven = LINEAR + 0.3 * np.sin(np.arange(LINEAR.size))
    for wave in (LOG, LINEAR, LINEAR**1.2 / LINEAR[0] ** 0.2, uneven):
        found = spectral_shift(observed(star, z, wave), template(star), wavelength=wave, template_wavelength=REST)
        np.testing.assert_allclose(found.velocity, LIGHT * z, atol=1.0)
    own = np.linspace(3200, 5600, 3000)
    found = spectral_shift(observed(star, z, LOG), template(star, own), wavelength=LOG, template_wavelength=own)
    np.testing.assert_allclose(found.velocity, LIGHT * z, atol=1.0)


def test_large_redshifts_and_small_overlaps():
    star = lines(5)
    for z in (0.3, -0.15):
        flux = observed(star, z, LOG)
        found = spectral_shift(flux, template(star), wavelength=LOG, template_wavelength=REST)
        np.testing.assert_allclose(found.velocity, LIGHT * z, atol=3.0)


def test_redshifts_are_looked_for_in_their_range(rng):
    star, z = lines(6), 0.04
    flux = observed(star, z, LOG, rng, 0.1)
    options = {"wavelength": LOG, "template_wavelength": REST, "err": 0.1}
    for z_range in ((0.0, 0.1), (0.035, 0.2), (-0.1, 0.041), (0.0399, 0.0401)):
        found = spectral_shift(flux, template(star), z_range=z_range, **options)
        assert found.status == 0
        assert abs(found.redshift - z) < 5 * found.redshift_err
    for z_range in ((0.05, 0.2), (-0.1, 0.03)):
        found = spectral_shift(flux, template(star), z_range=z_range, **options)
        # chance at best, and nobody is sure of it
        assert np.isnan(found.redshift) or (z_range[0] - 0.01 < found.redshift < z_range[1] + 0.01)
        assert np.isnan(found.confidence) or found.confidence < 0.99 or found.chi2 > 1.2 * found.dof


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("wave", [LOG, LINEAR], ids=["log", "linear"])
@pytest.mark.parametrize("snr", [3, 10, 30])
def test_errors_are_the_scatter(wave, snr):
    rng = np.random.default_rng(snr)
    star, count = lines(7), 600
    z = rng.uniform(0.0, 0.1, count)
    flux = observed(star, z, wave, rng, 1 / snr)
    options = {"wavelength": wave, "template_wavelength": REST, "z_range": (-0.02, 0.12)}
    found = spectral_shift(flux, template(star), err=1 / snr, **options)
    pulls = (found.redshift - z) / found.redshift_err
    assert np.mean(found.status == 0) > 0.99
    assert np.mean(np.abs(pulls) < 6) > 0.99
    pulls = pulls[np.abs(pulls) < 6]
    assert 0.9 < np.sqrt(np.mean(pulls**2)) < 1.1
    assert abs(np.mean(pulls)) < 4 / np.sqrt(count)
    np.testing.assert_allclose(np.nanmean(found.chi2 / found.dof), 1, atol=0.05)
    # Tonry & Davis's error is of the right order, and no more than that
    scatter = np.nanstd((found.velocity - LIGHT * z)[np.abs(found.redshift - z) < 0.001])
    assert 0.3 < np.nanmedian(found.td_err) / scatter < 6
    if snr == 30:
        assert np.nanmedian(found.td_err) / scatter > 1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wave", "options"),
    [
        (LOG, {}),
        (LOG, {"noise": "white"}),
        (LOG, {"bandpass": (2, 6, 250, 400)}),
        (LINEAR, {"bandpass": (2, 6, 250, 400)}),
    ],
    ids=["log", "white", "filtered", "resampled and filtered"],
)
@pytest.mark.parametrize("err", [None, 0.1])
def test_errors_of_filtered_and_unknown_noise(wave, options, err):
    rng = np.random.default_rng(11)
    star, count = lines(7), 400
    z = rng.uniform(0.0, 0.1, count)
    flux = observed(star, z, wave, rng, 0.1)
    options = {"template_wavelength": REST, "z_range": (-0.02, 0.12), **options}
    found = spectral_shift(flux, template(star), wavelength=wave, err=err, **options)
    assert 0.9 < np.sqrt(np.nanmean(((found.redshift - z) / found.redshift_err) ** 2)) < 1.1
    np.testing.assert_allclose(np.mean(found.chi2 / found.dof), 1, rtol=1e-9 if err is None else 0.05)


def test_error_maps_weigh_pixels():
    rng = np.random.default_rng(12)
    star, count = lines(7), 300
    z = rng.uniform(0.0, 0.1, count)
    err = np.where(np.arange(LINEAR.size) % 400 < 200, 0.05, 0.5) * np.ones((count, 1))
    flux = observed(star, z, LINEAR) + err * rng.normal(size=err.shape)
    options = {"wavelength": LINEAR, "template_wavelength": REST, "z_range": (-0.02, 0.12)}
    weighted = spectral_shift(flux, template(star), err=err, **options)
    pulls = (weighted.redshift - z) / weighted.redshift_err
    assert 0.9 < np.sqrt(np.nanmean(pulls**2)) < 1.1
    plain = spectral_shift(flux, template(star), **options)
    assert np.nanmedian(weighted.redshift_err) < 0.7 * np.nanmedian(plain.redshift_err)


# --- continuum, masks, filters ----------------------------------------------------------------------------------------


def test_the_continuum_does_not_matter():
    star, z = lines(8), 0.03
    options = {"wavelength": LOG, "template_wavelength": REST}
    u = np.linspace(-1, 1, LOG.size)
    plain = spectral_shift(observed(star, z, LOG), template(star), **options)
    steep = spectral_shift(observed(star, z, LOG) + 5 * u**3 - 40 * u**2 + 300, template(star), **options)
    assert abs(plain.velocity - LIGHT * z) < 1
    assert abs(steep.velocity - LIGHT * z) < 1
    # outliers are left out of it: without them its parabola, with degree 0 a slope, would be what is fitted
    spikes = observed(star, z, LOG)
    spikes[[300, 700, 701]] += [30, 60, 25]
    valid = np.ones(LOG.size, dtype=bool)
    valid[[300, 700, 701]] = False
    masked = spectral_shift(spikes, template(star), valid=valid, **options)
    assert abs(masked.velocity - plain.velocity) < 1


def test_masked_pixels_do_not_matter(backend, rng):
    star, z = lines(9), 0.02
    flux = observed(star, z, SHORT, rng, 0.05)
    valid = rng.uniform(size=SHORT.size) > 0.1
    valid[200:230] = False
    rest_valid = np.ones(SHORT_REST.size, dtype=bool)
    rest_valid[300:320] = False
    stars = np.where(rest_valid, template(star, SHORT_REST), 1e3)
    options = {
        "wavelength": SHORT,
        "template_wavelength": SHORT_REST,
        "valid": backend.asarray(valid),
        "template_valid": backend.asarray(rest_valid),
        "z_range": (-0.05, 0.05),
    }
    found = [
        host(backend, spectral_shift(backend.asarray(np.where(valid, flux, bad)), backend.asarray(stars), **options))
        for bad in (100.0, np.nan)
    ]
    np.testing.assert_allclose(found[0].redshift, found[1].redshift, atol=1e-6)
    assert abs(found[0].redshift - z) < 5 * found[0].redshift_err
    assert found[0].dof == pytest.approx(valid.sum() - 3, abs=0.5)


def test_the_band_pass_takes_waves_away():
    star, z = lines(10), 0.03
    rng = np.random.default_rng(13)
    waves = 2 * np.sin(2 * np.pi * 8 * np.arange(LOG.size) / LOG.size)
    flux = observed(star, z, LOG, rng, 0.1) + waves
    options = {"wavelength": LOG, "template_wavelength": REST, "z_range": (0.0, 0.06)}
    passed = spectral_shift(flux, template(star), bandpass=(15, 25, 400, 600), err=0.1, **options)
    assert abs(passed.redshift - z) < 5 * passed.redshift_err
    assert 0.8 < passed.chi2 / passed.dof < 1.25
    assert spectral_shift(flux, template(star), err=0.1, **options).chi2 > 20 * passed.chi2


# --- templates --------------------------------------------------------------------------------------------------------


def test_the_best_template_comes_first(rng):
    stars = [lines(s) for s in (20, 21, 22)]
    z = np.array([0.01, 0.03, 0.05, 0.07])
    which = np.array([2, 0, 1, 2])
    flux = np.stack([observed(stars[k], v, LOG, rng, 0.1) for k, v in zip(which, z, strict=True)])
    options = {"wavelength": LOG, "template_wavelength": REST, "err": 0.1, "z_range": (-0.02, 0.1)}
    found = spectral_shift(flux, np.stack([template(s) for s in stars]), **options)
    np.testing.assert_array_equal(found.template[:, 0], which)
    assert np.all(np.sort(found.template, axis=1) == [0, 1, 2])
    assert np.all(np.diff(np.where(found.status == 0, found.chi2, np.inf)[:, :2], axis=1) > 0)
    assert np.all(np.abs(found.redshift[:, 0] - z) < 5 * found.redshift_err[:, 0])
    assert np.all(found.delta_chi2[:, 0] > 100)
    assert np.all((found.delta_chi2[:, 1:] < 0) | np.isnan(found.delta_chi2[:, 1:]))
    assert np.all(found.confidence[:, 0] > 0.999)
    assert np.nanmax(found.confidence[:, 1:]) < 1e-3
    # one at a time they say the same
    for t, star in enumerate(stars):
        alone = spectral_shift(flux, template(star), **options)
        place = np.argmax(found.template == t, axis=1)
        np.testing.assert_allclose(found.redshift[np.arange(4), place], alone.redshift, rtol=1e-9)
        assert alone.redshift.shape == (4,)
        np.testing.assert_array_equal(alone.template, 0)


def test_templates_that_agree_do_not_compete(rng):
    star = lines(23)
    stack = np.stack([template(star), 1 + 0.9 * star(np.log(REST))])
    flux = observed(star, 0.03, LOG, rng, 0.1)
    found = spectral_shift(flux, stack, wavelength=LOG, template_wavelength=REST, err=0.1, z_range=(0.0, 0.06))
    assert np.all(found.confidence > 0.999)
    assert np.all(found.delta_chi2 > 100)


def test_noise_is_not_sure_of_anything():
    rng = np.random.default_rng(14)
    flux = 1 + 0.1 * rng.normal(size=(40, LOG.size))
    stack = np.stack([template(lines(s)) for s in (24, 25)])
    found = spectral_shift(flux, stack, wavelength=LOG, template_wavelength=REST, err=0.1, z_range=(-0.02, 0.1))
    first = found.confidence[:, 0]
    assert np.mean(np.isnan(first) | (first < 0.9)) > 0.85
    assert np.nanmedian(first) < 0.6


def test_items_that_cannot_be_measured_are_nan_and_last(backend):
    star = lines(26)
    flux = np.stack([observed(star, 0.02, SHORT), np.ones(SHORT.size), np.full(SHORT.size, np.nan)])
    stack = np.stack([np.ones(SHORT_REST.size), template(star, SHORT_REST)])
    options = {"wavelength": SHORT, "template_wavelength": SHORT_REST, "z_range": (-0.05, 0.05), "continuum": 2}
    found = host(backend, spectral_shift(backend.asarray(flux), backend.asarray(stack), **options))
    assert np.isfinite(found.redshift).tolist() == [[True, False], [False, False], [False, False]]
    assert found.template[0].tolist() == [1, 0]
    assert Status.FLAT_IMAGE in Status(int(found.status[0, 1]))
    assert Status.FLAT_IMAGE in Status(int(found.status[1, 0]))
    assert Status.TOO_FEW_VALID in Status(int(found.status[2, 0]))
    np.testing.assert_allclose(found.redshift[0, 0], 0.02, atol=1e-4)


# --- Tonry & Davis ----------------------------------------------------------------------------------------------------


def test_r_and_the_width_are_those_of_the_correlation_written_out(rng):
    star, pixels = lines(27), 30
    wave = np.exp(np.log(REST[0]) + STEP * np.arange(REST.size))
    flux = 1 + star(np.log(wave) - pixels * STEP) + 0.3 * rng.normal(size=wave.size)
    options = {"wavelength": wave, "continuum": 0, "apodise": 0.0}
    found = spectral_shift(flux, template(star, wave), template_wavelength=wave, z_range=(0, 0.03), **options)
    delta = float(np.log1p(found.redshift)) / STEP
    # the continuum of degree 0 is a mean that leaves the deepest lines out
    a, b = (x - clipped_mean(x) for x in (template(star, wave), flux))
    size = 2 * wave.size
    spectrum = np.conj(np.fft.fft(a, size)) * np.fft.fft(b, size)
    nu = np.fft.fftfreq(size)
    lag = np.arange(-wave.size + 1, wave.size)
    c = np.array([np.mean(spectrum * np.exp(2j * np.pi * nu * (delta + n))).real for n in lag])
    height, middle = c[wave.size - 1], wave.size - 1
    odd = c[middle:] - c[middle::-1]
    # sums over the lags there are; on the padded grid they are as many zeros more
    scatter = np.sqrt(2 * np.sum(odd**2) / (2 * padded_size(2 * wave.size - 1)))
    np.testing.assert_allclose(found.r, height / (np.sqrt(2) * scatter), rtol=0.03)
    even = (c[middle:] + c[middle::-1]) / 2
    first = np.argmax(even < height / 2)
    half = first - 1 + (even[first - 1] - height / 2) / (even[first - 1] - even[first])
    width = LIGHT * (1 + found.redshift) * 2 * half * STEP
    np.testing.assert_allclose(found.td_err, 3 / 8 * width / (1 + found.r), rtol=0.02)


def clipped_mean(x):
    keep = np.ones(x.size, dtype=bool)
    for _ in range(6):
        mean = x[keep].mean()
        keep = (x - mean) ** 2 <= 9 * np.mean((x[keep] - mean) ** 2)
    return mean


def padded_size(n):
    while True:
        rest = n
        for p in (2, 3, 5, 7):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1


# --- batches, memory --------------------------------------------------------------------------------------------------


def test_chunks_and_batches_change_nothing(rng):
    star = lines(28)
    z = rng.uniform(0, 0.1, 7)
    flux = observed(star, z, LOG, rng, 0.1)
    err = np.full(flux.shape, 0.1)
    options = {"wavelength": LOG, "template_wavelength": REST, "z_range": (-0.02, 0.12)}
    stack = np.stack([template(star), template(lines(29))])
    whole = spectral_shift(flux, stack, err=err, **options)
    for chunk in (1, 3, 100):
        for a, b in zip(whole, spectral_shift(flux, stack, err=err, chunk=chunk, **options), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    one = spectral_shift(flux[4], stack, err=0.1, **options)
    assert one.redshift.shape == (2,)
    np.testing.assert_allclose(one.redshift[0], whole.redshift[4, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_dtype_stays(dtype):
    star = lines(30)
    flux = np.round(1000 * observed(star, 0.03, LOG)).astype(dtype)
    rest = np.round(1000 * template(star)).astype(dtype)
    found = spectral_shift(flux, rest, wavelength=LOG, template_wavelength=REST, z_range=(0, 0.06))
    expected = np.float64 if dtype == np.int32 else dtype
    assert {f.dtype for f in found} == {np.dtype(expected), np.dtype(np.int32)}
    np.testing.assert_allclose(found.redshift, 0.03, atol=1e-5)


def test_inputs_stay_and_nothing_is_read_on_the_way(rng, no_sync):
    import backends

    strict, star = backends.Backend.STRICT_DEVICE1, lines(31)
    arrays = [strict.asarray(x) for x in (observed(star, 0.02, SHORT, rng, 0.1), template(star, SHORT_REST))]
    with no_sync():
        spectral_shift(*arrays, wavelength=SHORT, template_wavelength=SHORT_REST, err=0.1, z_range=(-0.05, 0.05))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_spectra():
    rng = np.random.default_rng(15)
    wave = np.exp(np.log(3800.0) + 2e-4 * np.arange(4000))
    stars = [lines(s) for s in range(40, 45)]
    stack = np.stack([template(s, wave) for s in stars]).astype(np.float32)
    base = observed(stars[2], rng.uniform(0, 0.1, 50), wave)
    z_range = (-0.01, 0.12)
    peaks = []
    for count in (200, 800):
        flux = (base[np.arange(count) % 50] + 0.2 * rng.normal(size=(count, wave.size))).astype(np.float32)
        tracemalloc.start()
        found = spectral_shift(flux, stack, wavelength=wave, err=0.2, z_range=z_range)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
        assert np.mean(found.template[:, 0] == 2) > 0.99
    assert peaks[1] < 256, peaks
    assert peaks[1] < 1.1 * peaks[0] + 8, peaks


# --- quantities and spectra -------------------------------------------------------------------------------------------


def test_quantities_are_taken_apart():
    star = lines(32)
    flux = observed(star, 0.03, LOG)
    plain = spectral_shift(flux, template(star), wavelength=LOG, template_wavelength=REST, err=0.1)
    jansky = units.Jy
    found = spectral_shift(
        flux * jansky,
        template(star) * units.dimensionless_unscaled,
        wavelength=LOG / 1e4 * units.um,
        template_wavelength=REST / 10 * units.nm,
        err=100 * units.mJy,
    )
    for a, b in zip(plain, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert type(found.redshift) in (np.ndarray, np.float64)
    with pytest.raises(units.UnitConversionError):
        spectral_shift(flux, template(star), wavelength=LOG * units.s, template_wavelength=REST)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_spectra_are_taken_apart(kind):
    star = lines(33)
    flux = observed(star, 0.03, LOG)
    mask = np.zeros(LOG.size, dtype=bool)
    mask[100:110], flux[100:110] = True, 1e3
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    spectrum = types.SimpleNamespace(
        flux=flux * units.Jy,
        spectral_axis=LOG * units.AA,
        uncertainty=kind(np.full(LOG.size, 0.1**power)),
        mask=mask,
    )
    rest = types.SimpleNamespace(flux=template(star) * units.Jy, spectral_axis=REST * units.AA)
    found = spectral_shift(spectrum, rest)
    plain = spectral_shift(flux, template(star), wavelength=LOG, template_wavelength=REST, err=0.1, valid=~mask)
    for a, b in zip(plain, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    spectrum.uncertainty = types.SimpleNamespace(uncertainty_type="unknown", array=np.ones(LOG.size))
    with pytest.raises(TypeError, match="`flux`"):
        spectral_shift(spectrum, rest)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (TypeError, "wavelength", {"wavelength": None}),
        (ValueError, "wavelength", {"wavelength": LOG[:-1]}),
        (ValueError, "wavelength", {"wavelength": LOG[::-1]}),
        (ValueError, "wavelength", {"wavelength": LOG - LOG[0]}),
        (ValueError, "template_wavelength", {"template_wavelength": None}),
        (ValueError, "template_wavelength", {"template_wavelength": REST[1:]}),
        (TypeError, "wavelength", {"wavelength": LOG.astype(str)}),
        (ValueError, "err", {"err": -1.0}),
        (ValueError, "err", {"err": np.ones(5)}),
        (ValueError, "valid", {"valid": np.ones(5, dtype=bool)}),
        (TypeError, "valid", {"valid": np.ones(LOG.size)}),
        (ValueError, "z_range", {"z_range": (0.1, 0.0)}),
        (ValueError, "z_range", {"z_range": (-2, 0.0)}),
        (ValueError, "template", {"z_range": (5.0, 6.0)}),
        (ValueError, "continuum", {"continuum": 6}),
        (ValueError, "continuum", {"continuum": 1.5}),
        (ValueError, "bandpass", {"bandpass": (1, 2, 3)}),
        (ValueError, "bandpass", {"bandpass": (5, 2, 100, 200)}),
        (ValueError, "bandpass", {"bandpass": (700, 701, 800, 900)}),
        (ValueError, "apodise", {"apodise": 0.6}),
        (ValueError, "min_overlap", {"min_overlap": "half"}),
        (ValueError, "noise", {"noise": "pink"}),
        (ValueError, "chunk", {"chunk": 0}),
        (TypeError, "flux", {"flux": [1.0, 2.0]}),
        (TypeError, "flux", {"flux": np.ones(LOG.size, dtype=complex)}),
        (ValueError, "template", {"template": np.ones((2, 2, REST.size))}),
    ],
)
def test_bad_input_is_named(kind, name, options):
    arguments = {
        "flux": np.ones(LOG.size),
        "template": np.ones(REST.size),
        "wavelength": LOG,
        "template_wavelength": REST,
        **options,
    }
    with pytest.raises(kind, match=f"`{name}`"):
        spectral_shift(**arguments)


def test_it_is_found_at_the_top():
    assert imreg_xp.spectral_shift is spectral_shift
    assert "spectral_shift" in dir(imreg_xp)


def test_the_example_in_the_docstring_is_right():
    import doctest

    from imreg_xp.methods import spectra

    results = doctest.testmod(spectra)
    assert results.failed == 0
    assert results.attempted > 0
