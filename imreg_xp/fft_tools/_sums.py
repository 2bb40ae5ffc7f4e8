"""Sums over modes or samples with one matrix per axis, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .._array import Array, Namespace, is_kind
from .._kernels import Columns, RowSums, elementwise
from .._providers import product, real_product, suits_real_products, whole_powers
from .._static import table
from .._sums import matmul
from ._dft import lag_basis, lag_waves
from ._modes import entries, falling, real_powers, taylor_columns, units_of

__all__ = ["contract", "contract_at_pixels", "contract_each", "derivative", "slopes_and_bends", "taylor_sums"]


def contract(spectrum: Array, columns: Sequence[Array], *, dtype: object = None, xp: Namespace) -> Array:
    r"""Apply one column matrix per image axis.

    .. math:: T_{a_1\dots a_k} = \sum_{\nu_1\dots\nu_k} S_{\nu_1\dots\nu_k} \prod_i E^{(i)}_{\nu_i a_i}

    Parameters
    ----------
    spectrum
        (batch, modes_1, ..., modes_k)
    columns
        k arrays (batch or 1, modes_i, K_i); the last is cast to the dtype of `spectrum` for the long sums.
    dtype
        That of the sums over the remaining axes and of the result; the dtype of the last columns unless given.

    Returns
    -------
    (batch, K_1, ..., K_k).
    """
    dtype = columns[-1].dtype if dtype is None else dtype
    return _along_others(_along_last(spectrum, columns[-1], dtype, xp=xp), columns[:-1], spectrum.shape[1:-1], xp=xp)


def contract_at_pixels(
    spectrum: Array, lag: Array, shape: Sequence[int], orders: int, *, keep: bool, dtype: object, xp: Namespace
) -> Array:
    """Return `contract` with the `lag_basis` of whole pixels (batch, ndim) in a complex dtype, (batch, orders, ...).

    Of two axes the first goes first: it has more modes. The host turns spectra in single precision, if they need not be
    kept: what is left to sum is then a product with a real matrix.
    """
    if keep or not suits_real_products(spectrum):
        columns = lag_basis(shape, lag, orders, dtype=spectrum.dtype, xp=xp)
        if len(shape) != 2:
            return contract(spectrum, columns, dtype=dtype, xp=xp)
        sums = xp.matmul(xp.matrix_transpose(columns[0]), spectrum)
        return xp.matmul(*(xp.astype(a, dtype, copy=False) for a in (sums, columns[1])))
    turned = product(spectrum, lag_waves(shape, 0, lag, dtype=spectrum.dtype, xp=xp)[:, :, None])
    sums = real_product(table(real_powers, shape[0], orders, dtype=xp.float32, like=lag, xp=xp), turned, xp=xp)
    column = taylor_columns(shape, orders, lag, dtype=dtype, xp=xp)[1]
    last = lag_waves(shape, 1, lag, column, dtype=dtype, xp=xp)
    return xp.matmul(table(units_of, orders, dtype=dtype, like=lag, xp=xp) * sums, last)


def contract_each(
    function: Callable[..., tuple[Array, ...]],
    *args: Array | tuple[Any, ...] | None,
    columns: Sequence[Sequence[Array]],
    dtype: object,
    xp: Namespace,
    **options: Any,
) -> list[Array]:
    """Return what `contract` makes of each of the spectra that an elementwise function returns, with its own columns.

    The last columns are of batch 1, and of the precision of the spectra. Where kernels are compiled these are stored
    nowhere.
    """
    lasts = {id(each[-1]): each[-1] for each in columns}
    matrices, which = tuple([Columns(a[0, ...]) for a in lasts.values()]), list(lasts)
    of = tuple([which.index(id(each[-1])) for each in columns])
    # the last first, each let go of when it is summed
    rows, found = list(_rows(matrices, args, of=of, function=function, xp=xp, **options)), []
    for each in reversed(columns):
        t = rows.pop()
        if isinstance(t, RowSums):
            modes = t.terms.shape[1:-1]
            found.append(_along_others(_along_last(t.terms, each[-1], dtype, xp=xp), each[:-1], modes, xp=xp))
            continue
        n, batch, k = t.shape
        (first,) = each[:-1]
        sums = xp.matmul(xp.matrix_transpose(first[0, ...]), xp.reshape(t, (n, batch * k)))
        found.append(xp.permute_dims(xp.reshape(sums, (-1, batch, k)), (1, 0, 2)))
    return found[::-1]


@elementwise
def _rows(
    matrices: tuple[Columns, ...],
    args: tuple[Any, ...],
    *,
    of: tuple[int, ...],
    function: Callable[..., tuple[Array, ...]],
    xp: Namespace,
    **options: Any,
) -> tuple[RowSums, ...]:
    return tuple([RowSums(a, matrices[k]) for a, k in zip(function(*args, xp=xp, **options), of, strict=True)])


def _along_last(spectrum: Array, last: Array, dtype: object, *, xp: Namespace) -> Array:
    """Return the sums over the last axis, (batch, modes, K); of more than one other axis the modes are in one row."""
    modes = spectrum.shape[1:]
    flat = spectrum
    if len(modes) != 2:
        flat = xp.reshape(spectrum, (spectrum.shape[0], math.prod(modes[:-1]), modes[-1]))
    if spectrum.dtype == last.dtype:
        return xp.astype(matmul(flat, last, xp=xp), dtype, copy=False)
    if not _real_times_complex(spectrum, last, xp=xp):
        return xp.astype(matmul(flat, xp.astype(last, spectrum.dtype, copy=False), xp=xp), dtype, copy=False)
    # a real spectrum times complex columns: a quarter of the work
    parts = xp.concat([xp.real(last), xp.imag(last)], axis=-1)
    t = xp.matmul(flat, xp.astype(parts, spectrum.dtype, copy=False))
    k = last.shape[-1]
    return _complex(t[..., :k], t[..., k:], dtype=dtype, xp=xp)


def _along_others(t: Array, columns: Sequence[Array], modes: Sequence[int], *, xp: Namespace) -> Array:
    """Return the sums over the other axes, of so many modes, of what is summed over the last."""
    if len(modes) == 1:
        return xp.matmul(xp.matrix_transpose(columns[0]), t)
    batch, sizes = t.shape[0], [t.shape[-1]]
    for axis in range(len(modes) - 1, -1, -1):
        column = xp.matrix_transpose(columns[axis])
        t = xp.reshape(t, (batch, *modes[:axis], modes[axis], math.prod(sizes)))
        column = xp.reshape(column, (column.shape[0], *(1,) * axis, *column.shape[1:])) if axis else column
        t = xp.matmul(column, t)
        batch = t.shape[0]
        sizes.insert(0, column.shape[-2])
    return xp.reshape(t, (batch, *sizes))


@elementwise
def _complex(real: Array, imaginary: Array, *, dtype: Any, xp: Namespace) -> Array:
    return xp.astype(real, dtype) + 1j * xp.astype(imaginary, dtype)


def _real_times_complex(a: Array, b: Array, *, xp: Namespace) -> bool:
    kinds = [is_kind(x.dtype, "complex floating", xp=xp) for x in (a, b)]
    return kinds == [False, True]


def taylor_sums(series: Array, x: Array, *, xp: Namespace) -> Array:
    """Return values and derivatives (batch, 3, ..., 3) of Taylor series (batch, orders, ...) at x (batch, ndim)."""
    factor, power = (
        table(falling, series.shape[1], which, dtype=x.dtype, like=x, xp=xp) for which in ("factor", "power")
    )
    columns = xp.astype(factor * whole_powers(x, power), series.dtype, copy=False)
    return contract(series, [columns[:, axis, ...] for axis in range(x.shape[-1])], xp=xp)


def derivative(table: Array, *axes: int) -> Array:
    """Pick the mixed derivative along `axes` from a table (batch, orders, ..., orders) made by `dft_basis` columns."""
    return table[(slice(None), *(axes.count(a) for a in range(table.ndim - 1)))]


def slopes_and_bends(values: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Pick all first (batch, ndim) and second derivatives (batch, ndim, ndim) from a table of 3 orders per axis."""
    ndim = values.ndim - 1
    flat = xp.reshape(values, (values.shape[0], 3**ndim))
    both = xp.take(flat, table(entries, ndim, dtype=xp.int64, like=values, xp=xp), axis=1)
    return both[:, :ndim], xp.reshape(both[:, ndim:], (-1, ndim, ndim))
