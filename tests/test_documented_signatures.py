"""Every name that the toolkit documents: where it documents it, with its parameters in their places, and defaults."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

import imreg_xp

FUNCTIONS = {
    "chi2_shift": imreg_xp.chi2_shift,
    "chi2_shift_iterzoom": imreg_xp.chi2_shift_iterzoom,
    "cross_correlation_shifts": imreg_xp.cross_correlation_shifts,
    "np": np,
}

CHI2_SHIFT = """im1, im2, err=None, upsample_factor='auto', boundary='wrap', nthreads=1, use_numpy_fft=False,
    zeromean=False, nfitted=2, verbose=False, return_error=True, return_chi2array=False, max_auto_size=512,
    max_nsig=1.1"""
ITERZOOM = """im1, im2, err=None, upsample_factor='auto', boundary='wrap', nthreads=1, use_numpy_fft=False,
    zeromean=False, verbose=False, return_error=True, return_chi2array=False, zoom_shape=[10, 10],
    rezoom_shape=[100, 100], rezoom_factor=5, mindiff=1, **kwargs"""
CHI2N_MAP = """im1, im2, err=None, boundary='wrap', nthreads=1, zeromean=False, use_numpy_fft=False, return_all=False,
    reduced=False"""
CORRELATION = """image1, image2, errim1=None, errim2=None, maxoff=None, verbose=False, gaussfit=False,
    return_error=False, zeromean=True, **kwargs"""
CORRELATION_FITS = """fitsfile1, fitsfile2, return_cropped_images=False, quiet=True, sigma_cut=False,
    register_method=cross_correlation_shifts, **kwargs"""
REGISTER = """im1, im2, usfac=1, return_registered=False, return_error=False, zeromean=True, DEBUG=False, maxoff=None,
    nthreads=1, use_numpy_fft=False"""
REGISTER_FITS = """fitsfile1, fitsfile2, errfile=None, return_error=True, register_method=chi2_shift_iterzoom,
    return_cropped_images=False, return_shifted_image=False, return_header=False, **kwargs"""
MATCH_FITS = "fitsfile1, fitsfile2, header=None, sigma_cut=False, return_header=False, **kwargs"
CONVOLVE = """array, kernel, boundary='fill', fill_value=0, crop=True, return_fft=False, fftshift=True, fft_pad=True,
    psf_pad=False, interpolate_nan=False, quiet=False, ignore_edge_zeros=False, min_wt=0.0, normalize_kernel=False,
    use_numpy_fft=True, nthreads=1"""
SMOOTH = """image, kernelwidth=3, kerneltype='gaussian', trapshlope=None, silent=True, psf_pad=True, interp_nan=False,
    nwidths='max', min_nwidths=6, return_kernel=False, normalize_kernel=np.sum, downsample=False,
    downsample_factor=None, ignore_edge_zeros=False, **kwargs"""
SHIFTND = "data, offset, phase=0, nthreads=1, use_numpy_fft=False, return_abs=False, return_real=True"
SHIFT2D = "data, deltax, deltay, phase=0, nthreads=1, use_numpy_fft=False, return_abs=False, return_real=True"
DFTUPS = "inp, nor=None, noc=None, usfac=1, roff=0, coff=0"
UPSAMPLE = "image, upsample_factor=1, output_size=None, nthreads=1, use_numpy_fft=False, xshift=0, yshift=0"
HEADER_OVERLAP = "hdr1, hdr2, max_separation=180, overlap='union'"
INTERPND = "data, outinds, nthreads=1, use_numpy_fft=False, return_real=True"
TEST = """package=None, test_path=None, args=None, plugins=None, verbose=False, pastebin=None, remote_data=False,
    pep8=False, pdb=False, coverage=False, open_files=False, **kwargs"""

DOCUMENTED = {
    "": {
        "chi2_shift": CHI2_SHIFT,
        "chi2_shift_iterzoom": ITERZOOM,
        "chi2n_map": CHI2N_MAP,
        "cross_correlation_shifts": CORRELATION,
        "cross_correlation_shifts_FITS": CORRELATION_FITS,
        "register_images": REGISTER,
        "test": TEST,
    },
    "chi2_shifts": {"chi2_shift": CHI2_SHIFT, "chi2_shift_iterzoom": ITERZOOM, "chi2n_map": CHI2N_MAP},
    "cross_correlation_shifts": {
        "cross_correlation_shifts": CORRELATION,
        "cross_correlation_shifts_FITS": CORRELATION_FITS,
    },
    "register_images": {"register_images": REGISTER, "dftregistration": REGISTER.replace("im1, im2", "buf1ft, buf2ft")},
    "fft_tools": {
        "correlate2d": "im1, im2, boundary='wrap', **kwargs",
        "dftups": DFTUPS,
        "get_ffts": "nthreads=1, use_numpy_fft=True",
        "shift2d": SHIFT2D,
        "shiftnd": SHIFTND,
        "smooth": SMOOTH,
        "upsample_image": UPSAMPLE,
    },
    "fft_tools.convolve_nd": {"convolve_nd": CONVOLVE, "convolve": CONVOLVE},
    "fft_tools.correlate2d": {"correlate2d": "im1, im2, boundary='wrap', **kwargs"},
    "fft_tools.fast_ffts": {"get_ffts": "nthreads=1, use_numpy_fft=True"},
    "fft_tools.shift": {"shift2d": SHIFT2D, "shiftnd": SHIFTND},
    "fft_tools.zoom": {
        "zoom1d": """inp, usfac=1, outsize=None, offset=0, nthreads=1, use_numpy_fft=False, return_xouts=False,
            return_real=True""",
        "zoom_on_pixel": """inp, coordinates, usfac=1, outshape=None, nthreads=1, use_numpy_fft=False,
            return_real=True, return_xouts=False""",
        "zoomnd": "inp, offsets=(), middle_convention=float, **kwargs",
    },
    "fft_tools.scale": {
        "fourier_interp1d": "data, out_x, data_x=None, nthreads=1, use_numpy_fft=False, return_real=True",
        "fourier_interp2d": INTERPND,
        "fourier_interpnd": INTERPND,
    },
    "fft_tools.upsample": {
        "dftups": DFTUPS,
        "dftups1d": "inp, usfac=1, outsize=None, offset=0, return_xouts=False",
        "odddftups": DFTUPS,
        "upsample_image": UPSAMPLE,
    },
    "FITS_tools": {
        "fits_overlap": "file1, file2, **kwargs",
        "get_cd": "wcs, n=1",
        "header_overlap": HEADER_OVERLAP,
        "load_data": "data",
        "load_header": "header",
        "match_fits": MATCH_FITS,
        "project_to_header": "fitsfile, header, **kwargs",
        "register_fits": REGISTER_FITS,
    },
    "FITS_tools.match_images": {
        "project_to_header": "fitsfile, header, **kwargs",
        "match_fits": MATCH_FITS,
        "register_fits": REGISTER_FITS,
    },
    "FITS_tools.fits_overlap": {"fits_overlap": "file1, file2, **kwargs", "header_overlap": HEADER_OVERLAP},
    # without a documented signature
    "fft_tools.downsample": {"downsample": None},
    "FITS_tools.hcongrid": {"hcongrid": None, "zoom_fits": None},
}
ROWS = [(module, name) for module, names in DOCUMENTED.items() for name in names]


@pytest.mark.parametrize(("module", "name"), ROWS, ids=[".".join(filter(None, row)) for row in ROWS])
def test_parameters_are_in_their_places(module, name):
    function = getattr(importlib.import_module(".".join(filter(None, ["imreg_xp", module]))), name)
    text = DOCUMENTED[module][name]
    assert callable(function)
    if text is None:
        return
    namespace = dict(FUNCTIONS)
    exec(f"def f({text}): ...", namespace)  # noqa: S102
    documented = inspect.signature(namespace["f"]).parameters
    parameters = inspect.signature(function).parameters
    assert list(parameters) == list(documented)
    for key, parameter in documented.items():
        assert parameters[key].default == parameter.default, key
        assert parameters[key].kind == parameter.kind, key


def test_the_package_may_be_imported_in_the_place_of_the_toolkit():
    code = """
import imreg_xp as image_registration, numpy as np
from imreg_xp import chi2_shift
from imreg_xp.fft_tools import shift
from imreg_xp.cross_correlation_shifts import cross_correlation_shifts
from imreg_xp.register_images import register_images, dftregistration
assert image_registration.cross_correlation_shifts is cross_correlation_shifts
assert image_registration.register_images is register_images
assert image_registration.chi2_shifts.chi2_shift is chi2_shift
rng = np.random.default_rng(0)
image, noise = rng.normal(size=(40, 42)), 0.05
offset_image = image_registration.fft_tools.shift2d(image, 3.665, -4.25) + noise * rng.normal(size=image.shape)
xoff, yoff, exoff, eyoff = chi2_shift(image, offset_image, noise, return_error=True, upsample_factor='auto')
corrected_image2 = shift.shiftnd(offset_image, (-yoff, -xoff))
assert np.std(corrected_image2 - image) < 0.3 * np.std(image), np.std(corrected_image2 - image)
assert abs(xoff - 3.665) < 4 * exoff and abs(yoff + 4.25) < 4 * eyoff
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SHAPE, OFFSET = (44, 50), (-2.0, 3.0)  # (dx, dy): how far the second lies from the first


@pytest.fixture
def scene():
    """Two images of blobs without any symmetry, the second a whole number of pixels to the left and up."""
    y, x = np.indices(SHAPE)
    image = sum(
        a * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * s**2))
        for u, v, s, a in [(14, 12, 2.0, 5.0), (30, 17, 3.0, 2.0), (22, 30, 2.5, 3.5), (35, 31, 1.5, 1.0)]
    )
    return image, np.roll(image, (int(OFFSET[1]), int(OFFSET[0])), (0, 1))


MEASURES = {
    "chi2_shift": lambda a, b: imreg_xp.chi2_shift(a, b)[:2],
    "chi2_shift overlap": lambda a, b: imreg_xp.chi2_shift(a, b, boundary="overlap")[:2],
    "chi2_shift_iterzoom": lambda a, b: imreg_xp.chi2_shift_iterzoom(a, b)[:2],
    "cross_correlation_shifts": imreg_xp.cross_correlation_shifts,
    "Gaussian": lambda a, b: imreg_xp.cross_correlation_shifts(a, b, gaussfit=True),
    "register_images": imreg_xp.register_images,
    "register_images exact": lambda a, b: imreg_xp.register_images(a, b, usfac=10),
    # these two return what to apply, in the order of the axes
    "dftregistration": lambda a, b: [
        -v
        for v in importlib.import_module("imreg_xp.register_images").dftregistration(np.fft.fft2(a), np.fft.fft2(b))[
            :1:-1
        ]
    ],
    "register": lambda a, b: -imreg_xp.register(a, b, boundary="wrap").shift[::-1],
    "chi2n_map": lambda a, b: [
        (n - 1) // 2 - i for n, i in zip(SHAPE, np.unravel_index(imreg_xp.chi2n_map(a, b).argmin(), SHAPE), strict=True)
    ][::-1],
    "correlate2d": lambda a, b: [
        (n - 1) // 2 - i
        for n, i in zip(SHAPE, np.unravel_index(imreg_xp.fft_tools.correlate2d(a, b).argmax(), SHAPE), strict=True)
    ][::-1],
}


@pytest.mark.parametrize("name", MEASURES)
def test_all_say_how_far_the_second_lies_from_the_first_x_first(scene, name):
    np.testing.assert_allclose(MEASURES[name](*scene), OFFSET, atol=0.05)


@pytest.mark.parametrize(
    "name", ["chi2_shift", "chi2_shift_iterzoom", "chi2n_map", "cross_correlation_shifts", "register_images"]
)
def test_docstrings_say_so(name):
    text = " ".join(inspect.getdoc(getattr(imreg_xp, name)).split()).lower()
    assert "how far im2 lies from im1" in text or "how far image2 lies from image1" in text


# --- `test`


def test_the_examples_can_be_run_from_python():
    code = "import sys, imreg_xp; sys.exit(imreg_xp.test(package='fft_tools', args='-q -p no:cacheprovider'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_tests_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="`package`"):
        imreg_xp.test(package="nothing")
    with pytest.raises(TypeError, match="`colour`"):
        imreg_xp.test(colour=True)
