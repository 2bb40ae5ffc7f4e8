"""Small algebra, item by item, as one kernel: on a GPU a step on ten numbers takes as long as one on a million.

A function of arrays (batch, ...) of a few numbers per item, written in the array API, is called as it is; where the
library compiles kernels (CuPy), it is called once with arrays of expressions instead, and what it does is written down
as the source of one kernel. The function itself is the oracle of its kernel.
"""

from __future__ import annotations

from .functions import elementwise, per_item
from .kernel import Columns, Highest, Lookup, Lowest, Rows, RowSums, Total, compiles

__all__ = [
    "Columns",
    "Highest",
    "Lookup",
    "Lowest",
    "RowSums",
    "Rows",
    "Total",
    "compiles",
    "elementwise",
    "per_item",
]
