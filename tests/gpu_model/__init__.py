"""A model of CuPy on NumPy, to test on any machine what matters on a GPU.

``gpu_model.asarray(numpy_array)`` makes its arrays. They refuse what CuPy refuses: NumPy arrays as operands, implicit
conversion to NumPy, use as a Python index, names and keywords that CuPy does not have. Inside ``with recording() as
log`` they tell what a GPU would have to do: `log.launches`, `log.bytes`, `log.uploads`, `log.syncs`, `log.peak_bytes`,
each with its source line; `log.table()` prints them per line. How things are counted is said in `costs`.
"""

from __future__ import annotations

from imreg_xp._array import OVERWRITING

from . import (
    operators,  # noqa: F401  (gives arrays their operators)
    overwriting,
)
from .array import Array, Device, upload
from .namespace import xp
from .recorder import Log, recording
from .signatures import VERSIONS

__all__ = ["VERSIONS", "Array", "Device", "Log", "asarray", "recording", "xp"]

asarray = upload
OVERWRITING["gpu_model"] = lambda: overwriting
