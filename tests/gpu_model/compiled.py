"""Kernels compiled for the host: helpers, loops and sums of blocks, which the model does not carry out, run here."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from .array import Array
from .kernels import _TERM, RawKernel

__all__ = ["COMPILER", "CompiledKernel"]

COMPILER = shutil.which("g++")

_BEFORE = r"""
#include <cmath>
#include <cstring>
#include <omp.h>
using std::cos; using std::exp; using std::hypot; using std::log; using std::pow; using std::rint; using std::sin;
using std::sqrt;
struct Three { unsigned x, y, z; };
static thread_local Three blockIdx, threadIdx;
static Three gridDim, blockDim;
static inline double __longlong_as_double(long long bits) { double d; std::memcpy(&d, &bits, 8); return d; }
#define __global__
#define __device__ inline
#define __shared__ static
static void __syncthreads() {
_Pragma("omp barrier")
}
"""
_AFTER = """
extern "C" void run(void** p, unsigned gx, unsigned gy, unsigned bx) {{
gridDim = {{gx, gy, 1}}; blockDim = {{bx, 1, 1}};
#pragma omp parallel num_threads(bx)
{{
threadIdx.x = omp_get_thread_num();
for (unsigned x = 0; x < gx; x++) for (unsigned y = 0; y < gy; y++) {{
blockIdx.x = x; blockIdx.y = y;
{call};
#pragma omp barrier
}}
}}
}}
"""


class CompiledKernel(RawKernel):
    """A kernel that the model carries out, and the host too, from the same source; the results must agree."""

    folder: Path
    compared = 0

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        super().__init__(code, name, options)
        fused = "off" if "--fmad=false" in options else "fast"
        self._run = self._compiled(
            code, name, ["-std=c++17", "-O2", "-w", f"-ffp-contract={fused}", "-mfma", "-fopenmp"]
        )

    def _compiled(self, code: str, name: str, flags: list[str]) -> Any:
        given = ", ".join(
            f"({kind.rstrip('*')}*)p[{i}]" if name_[0] in "aop" else f"*(long long*)p[{i}]"
            for i, (kind, name_) in enumerate(self._parameters)
        )
        source = _BEFORE + code.replace('extern "C" __global__ void', "static void")
        source += _AFTER.format(call=f"{name}({given})")
        path = self.folder / f"{hashlib.sha256((source + str(flags)).encode()).hexdigest()}.so"
        if not path.exists():
            text = path.with_suffix(".cpp")
            text.write_text(source, "utf-8")
            subprocess.run([COMPILER, *flags, "-shared", "-fPIC", str(text), "-o", str(path)], check=True)
        return ctypes.CDLL(str(path)).run

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        super().__call__(grid, block, args)
        named = [(name, arg) for (_, name), arg in zip(self._parameters, args, strict=True)]
        outputs = [(name, arg._data) for name, arg in named if name[0] in "op"]
        wanted = [data.copy() for _, data in outputs]
        for _, data in outputs:
            data.view(np.uint8)[...] = 1
        numbers = [None if isinstance(a, Array) else ctypes.c_longlong(int(a)) for _, a in named]
        places = [
            a._data.__array_interface__["data"][0] if number is None else ctypes.addressof(number)
            for (_, a), number in zip(named, numbers, strict=True)
        ]
        self._run((ctypes.c_void_p * len(places))(*places), grid[0], grid[1] if grid[1:] else 1, block[0])
        for (name, found), want in zip(outputs, wanted, strict=True):
            self._compare(name, found, want)
        CompiledKernel.compared += 1

    def _compare(self, name: str, found: np.ndarray, want: np.ndarray) -> None:
        if name[0] == "p":  # each block has its part
            how = next(term[2] for line in self._lines if (term := _TERM.fullmatch(line)) and term[1] == name[1:])
            reduce = {None: np.sum, "maximum": np.max, "minimum": np.min}[how]
            found, want = reduce(found, axis=1), reduce(want, axis=1)
        if found.dtype.kind in "fc":
            # functions of the two libraries differ by a digit or two, relative to what they are made of
            finite = want[np.isfinite(want)]
            single = any(line.startswith("const float ") for line in self._lines)
            digits = 1e3 * np.finfo(np.float32 if single else found.dtype).eps
            size = np.max(np.abs(finite), initial=0.0)
            np.testing.assert_allclose(found, want, rtol=100 * digits, atol=digits * size, err_msg=self._name)
        else:
            np.testing.assert_array_equal(found, want, err_msg=self._name)
