"""Kernels of one's own: their lines, which are Python as well, are carried out by NumPy for all threads at once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .array import Array, note
from .costs import Cost, touched

__all__ = ["RawKernel"]

_MOST = ((2**31 - 1, 65535, 65535), (1024, 1024, 64))  # blocks of a grid, threads of a block
_SIGNATURE = re.compile(r'extern "C" __global__ void (\w+)\((.*?)\) \{')
_LINE = re.compile(r"const (\w+) (v\d+) = (.*);")
_STORE = re.compile(r"(o\d+)\[(.*)\] = (.*);")
_TERM = re.compile(r"t(\d+) = (?:(maximum|minimum)\(t\1, (.*)\)|t\1 \+ (.*));")
_OF_ROW = re.compile(r"h(\d+)_(\d)\[threadIdx\.x\] = (?!u)(.*);")
_COLUMN = re.compile(r"const \w+ c(\d+)_(\d) = a\1\[\(\(first \+ j\) \* (\d+) .*\];")
_PRODUCT = re.compile(r"u(\d+)_0 \+= .*\bc(\d+)_0.*;")
_TYPES = {"double": np.float64, "float": np.float32, "int64": np.int64, "int": np.int32, "bool": np.bool_}


def _caster(dtype: Any) -> Any:
    return lambda x: np.asarray(x).astype(dtype)


_KNOWN = {
    "select": np.where, "maximum": np.maximum, "minimum": np.minimum, "absolute": np.abs, "sqrt": np.sqrt,
    "exp": np.exp,
    "hypot": np.hypot,
    "log": np.log,
    "cos": np.cos, "sin": np.sin, "rint": np.rint, "pow": np.power, "finite": np.isfinite,
    "negation": np.logical_not, "modulo": np.mod, "quotient": np.floor_divide,
    "INFINITE": np.inf, "NOT_A_NUMBER": np.nan, **{name: _caster(dtype) for name, dtype in _TYPES.items()},
}  # fmt: skip


class _Pointer:
    """The memory from the first element of an array on, in real numbers."""

    def __init__(self, data: np.ndarray, scalar: Any) -> None:
        self.whole = owner = data
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        flat = np.lib.stride_tricks.as_strided(owner, (owner.size,), (owner.itemsize,)).view(data.dtype)
        self.flat = flat.view(data.real.dtype)
        if self.flat.dtype != scalar:
            msg = f"a pointer to {scalar.__name__} to an array of {data.dtype}"
            raise TypeError(msg)
        start = data.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        self.first = start // self.flat.itemsize

    def _at(self, index: Any) -> np.ndarray:
        place = np.asarray(index) + self.first
        if np.any((place < 0) | (place >= self.flat.size)):
            msg = "a kernel goes beyond an array"
            raise IndexError(msg)
        return place

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.flat[self._at(index)]

    def __setitem__(self, index: Any, values: Any) -> None:
        if np.asarray(values).dtype != self.flat.dtype:
            msg = f"a kernel stores {np.asarray(values).dtype} in an array of {self.flat.dtype}"
            raise TypeError(msg)
        self.flat[self._at(index)] = values


class _RowSums:
    """Products of rows of terms with the columns of matrices, as the lines of a kernel tell one after the other."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._terms: dict[str, dict[str, np.ndarray]] = {}
        self._columns: dict[str, tuple[int, int]] = {}

    def take(self, line: str, known: dict[str, Any]) -> bool:
        """Carry out a line, if it is of rows."""
        if term := _OF_ROW.fullmatch(line):
            values = np.asarray(eval(term[3], {"__builtins__": {}}, known))  # noqa: S307
            self._terms.setdefault(term[1], {})[term[2]] = np.broadcast_to(values, self._sizes)
        elif column := _COLUMN.fullmatch(line):
            self._columns[column[1]] = int(column[3]), 1 + int(column[2])
        elif product := _PRODUCT.fullmatch(line):
            self._multiply(product[1], product[2], known)
        else:
            return False
        return True

    def _multiply(self, row: str, leaf: str, known: dict[str, Any]) -> None:
        k, parts = self._columns[leaf]
        matrix = known[f"a{leaf}"][np.arange(self._sizes[2] * k * parts)].reshape(-1, k, parts)
        terms = np.stack(list(self._terms[row].values()), axis=-1)
        if terms.dtype != matrix.dtype:
            msg = f"{terms.dtype} times {matrix.dtype}"
            raise TypeError(msg)
        of_both = [x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1] for x in (terms, matrix)]
        made = known[f"o{row}"].whole
        made[...] = np.swapaxes(np.matmul(*of_both), 0, 1)


class RawKernel:
    """A kernel from source, with results in arguments called o0, o1 ..., and the parts of sums in p0, p1 ..."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:  # noqa: ARG002
        found = _SIGNATURE.search(code)
        if found is None or found[1] != name:
            msg = f"the source has no kernel {name!r}"
            raise ValueError(msg)
        self._name = name
        self._parameters = [p.replace("__restrict__ ", "").split()[-2:] for p in found[2].split(", ")]
        self._lines = code[found.end() :].splitlines()

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        for got, most in zip((grid, block), _MOST, strict=True):
            if not all(1 <= n <= m for n, m in zip(got, most, strict=False)):
                msg = f"no GPU starts {grid} blocks of {block} threads"
                raise ValueError(msg)
        values: dict[str, Any] = {}
        for (kind, name), arg in zip(self._parameters, args, strict=True):
            values[name] = self._argument(kind, name, arg)
        self._carry_out(values)
        named = [(name, arg._data) for (_, name), arg in zip(self._parameters, args, strict=True) if name[0] in "aop"]
        inputs = [data for name, data in named if name[0] == "a"]
        outputs = [data for name, data in named if name[0] in "op"]
        spent = Cost(1, sum(touched(a) for a in inputs), sum(o.nbytes for o in outputs))
        note(self._name, spent, inputs, outputs)

    def _argument(self, kind: str, name: str, arg: Any) -> Any:
        if name[0] in "aop":
            if not isinstance(arg, Array):
                msg = f"a kernel takes no {type(arg)} for a pointer"
                raise TypeError(msg)
            return _Pointer(arg._data, _TYPES[kind.rstrip("*")])
        if not isinstance(arg, np.int64):
            msg = f"a kernel takes no {type(arg)} for an int64"
            raise TypeError(msg)
        return arg

    def _carry_out(self, values: dict[str, Any]) -> None:
        sizes = [int(n) for name, n in values.items() if name[0] == "n"]
        known = {**_KNOWN, **values, **{f"i{d}": i for d, i in enumerate(np.ogrid[tuple(map(slice, sizes))])}}
        rows = _RowSums(sizes)
        with np.errstate(all="ignore"):
            for line in self._lines:
                if rows.take(line, known):
                    continue
                if made := _LINE.fullmatch(line):
                    result = np.asarray(eval(made[3], {"__builtins__": {}}, known))  # noqa: S307
                    if result.dtype != _TYPES[made[1]]:
                        msg = f"the line makes {result.dtype}: {line}"
                        raise TypeError(msg)
                    known[made[2]] = result
                elif term := _TERM.fullmatch(line):
                    self._add_up(known, term)
                elif stored := _STORE.fullmatch(line):
                    if stored[3] == "all":
                        continue  # of rows
                    known[stored[1]][eval(stored[2], {"__builtins__": {}}, known)] = np.asarray(  # noqa: S307
                        eval(stored[3], {"__builtins__": {}}, known)  # noqa: S307
                    )

    @staticmethod
    def _add_up(known: dict[str, Any], term: re.Match[str]) -> None:
        """Sum over all axes but the first: the part of the first block is all of it."""
        values = np.asarray(eval(term[3] or term[4], {"__builtins__": {}}, known))  # noqa: S307
        if values.dtype != np.float64:
            msg = f"a sum of {values.dtype}"
            raise TypeError(msg)
        parts = known[f"p{term[1]}"].whole
        reduce, nothing = {None: (np.sum, 0), "maximum": (np.max, -np.inf), "minimum": (np.min, np.inf)}[term[2]]
        parts[...] = nothing
        sizes = [int(n) for name, n in known.items() if re.fullmatch(r"n\d", name)]
        parts[:, 0] = reduce(np.broadcast_to(values, sizes), axis=tuple(range(1, len(sizes))))
