r"""The root of the estimating equation by cross-spectra alone, and what steps towards it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._array import Array, Namespace, accumulator_dtype, complex_dtype
from .._bounds import bounded
from .._kernels import elementwise, per_item
from .._providers import Factors, product_of
from ..fft_tools._dft import rfft
from ..fft_tools._modes import taylor_columns
from ..fft_tools._sums import contract_each, slopes_and_bends, taylor_sums
from ._linalg import inverse
from .frozen import Frozen, Level, Weights
from .problem import column
from .rings import Gains, times

__all__ = ["newton_step", "root", "series_at_0"]

_ORDERS = 16  # of Taylor series: to rounding of single precision within 1.5 pixels, (pi x)^j / j! has died out
_REACH = 1.5


def root(light: Frozen, offset: Array, at: tuple[Factors, Array], level: Level, *, steps: int, xp: Namespace) -> Array:
    r"""Return the offset after Newton steps from `offset`, where the model has that spectrum and map, and `level`.

    With gain and background as they are,

    .. math:: U_i(d) = s\, \partial_i (w r_d \star h * r)(d) - \partial_i (w [m - b] \star h * r)(d).

    The last term is a cross-spectrum, exact at any d with its derivatives; the first is what the border of the overlap
    contributes, and stays what it is at `offset`: no map is made on the way. Noise in the reference does not steepen
    the correlation of two images. All is in single precision.
    """
    grid, ndim = light.field.grid, offset.shape[-1]
    moved, value = at
    maps = _weighted_maps(light.weight, light.moving, value, column(level.background, value, xp=xp), xp=xp)
    spectra = (rfft(a, ndim, xp=xp) for a in maps)
    series = series_at_0(_with_filtered, moved, light.gains, *spectra, grid=grid, orders=(_ORDERS, 3), xp=xp)
    found: Array = _root(*series, offset, level.scale, steps=steps, xp=xp)
    return found


@per_item
def _root(ahead: Array, own: Array, offset: Array, scale: Array, *, steps: int, xp: Namespace) -> Array:
    """Return the offset after Newton steps, from the Taylor series of the two correlations."""
    d = xp.zeros_like(offset)
    pull, bend = slopes_and_bends(taylor_sums(own, d, xp=xp), xp=xp)
    pull = scale[:, None] * pull
    # where the correlation has no maximum near, as far as that of the model with itself is wide
    plain = -scale[:, None, None] * bend
    for _ in range(steps):
        slope, bend = slopes_and_bends(taylor_sums(ahead, d, xp=xp), xp=xp)
        d = bounded(d + newton_step(-bend, plain, pull - slope, xp=xp)[0], -_REACH, _REACH, xp=xp)
    return offset + d


@elementwise
def _weighted_maps(
    weight: Weights,
    moving: Array,
    value: Array,
    background: Array,
    *,
    xp: Namespace,  # noqa: ARG001
) -> tuple[Array, Array]:
    weight = product_of(weight)
    return weight * (moving - background), weight * value


def _with_filtered(model: Factors, gains: Gains | None, *spectra: Array, xp: Namespace) -> tuple[Array, ...]:
    ahead = xp.conj(times(product_of(model), gains, xp=xp))
    return tuple([a * ahead for a in spectra])


def series_at_0(
    products: Callable[..., tuple[Array, ...]],
    model: Factors,
    *args: Array | Gains | None,
    grid: Sequence[int],
    orders: Sequence[int],
    xp: Namespace,
) -> list[Array]:
    """Return the Taylor series (batch, orders, ...) at lag 0 of correlations with a model: ``products`` are spectra."""
    like = model[0] if isinstance(model, tuple) else model
    columns = [taylor_columns(grid, n, like, xp=xp) for n in orders]
    dtype = complex_dtype(accumulator_dtype(like, xp=xp), xp=xp)
    return [xp.real(a) for a in contract_each(products, model, *args, columns=columns, dtype=dtype, xp=xp)]


def newton_step(d: Array, plain: Array, u: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the Newton step for U and its derivative D, at most half a pixel, and whether D is positive definite.

    Where it is not the step is that of the `plain` matrix, if that is.
    """
    sharp = inverse(d, xp=xp)
    usable = xp.all(xp.isfinite(sharp), axis=(-2, -1))
    step = -xp.matmul(xp.where(usable[:, None, None], sharp, inverse(plain, xp=xp)), u[..., None])[..., 0]
    step = xp.where(xp.isfinite(step), bounded(step, -0.5, 0.5, xp=xp), 0.0)
    return step, usable
