r"""Shifts between pairs of frames put together to shifts of all frames: a network adjustment.

Each pair gives the difference of two shifts, :math:`d_{ij} = s_j - s_i`. Its error has a part of each frame, which is
the same in every pair the frame is in and adds nothing to a loop, and a part of the pair alone:

.. math:: d_{ij} = (s_j + e_j) - (s_i + e_i) + q_{ij}

(to first order the noise of a frame shifts it; noise times noise is what a pair has of its own). Weighted least squares
averages the q, whose size is what the loops do not close by, and can do nothing about the e. The covariances of the
pairs less that of the q give those of the e; what grows with the distance of two frames, as they change or drift out of
each other, adds up along the stack. Sums of the covariances of pairs would count each e over and over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from ._engine.result import Registration, Status

__all__ = ["Links", "adjusted", "components"]

_REWEIGHTINGS = 10
_FAR = 25.0  # times the typical square: links that far off are wrong
_CLOSED = 1e-2  # of the variance of a link: a square that is typical at least
_LIKE_THE_MEAN = 0.05  # of the weight of a link: that the errors of a frame are those of the others
_COLUMNS = 256  # of the inverse at a time


class Links(NamedTuple):
    """Registrations (links, ...) of frame `second` on frame `first`, on the host."""

    first: np.ndarray
    second: np.ndarray
    found: Registration

    @property
    def good(self) -> np.ndarray:
        """Which links hold."""
        return (self.found.status == 0) & (self.found.scale > 0)

    def taken(self, which: np.ndarray) -> Links:
        """Return some of the links."""
        found = Registration(*(field[which] for field in self.found))
        return Links(self.first[which], self.second[which], found)

    @classmethod
    def joined(cls, parts: Sequence[Links]) -> Links:
        """Return all links of several sets."""
        found = Registration(*(np.concatenate(fields) for fields in zip(*(p.found for p in parts), strict=True)))
        first, second = (np.concatenate(ends) for ends in zip(*(p[:2] for p in parts), strict=True))
        return cls(first, second, found)


def components(links: Links, count: int) -> list[np.ndarray]:
    """Return the sets of frames that good links hold together, in the order of their first frames."""
    held = links.taken(links.good)
    graph = sparse.coo_matrix((np.ones(len(held.first)), (held.first, held.second)), shape=(count, count))
    label = csgraph.connected_components(graph, directed=False)[1]
    order = np.argsort(label, kind="stable")
    sets = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return sorted(sets, key=lambda frames: int(frames[0]))


def adjusted(links: Links, members: np.ndarray, count: int, *, chain: bool) -> Registration:
    """Return the registration of all frames on the first member; NaN and a status for frames that are no members.

    Parameters
    ----------
    links
        All that were measured.
    members
        Frames that good links hold together, ascending.
    chain
        Let each frame follow from the nearest one before it alone. All links still say how good they are.
    """
    status = _failures(links, members, count)
    if len(members) < 2:
        nothing = (np.full((count, *x.shape[1:]), np.nan) for x in links.found[:-1])
        return Registration._make([*nothing, status])
    held = links.taken(links.good)
    held = held.taken(np.isin(held.first, members) & np.isin(held.second, members))
    network = _Network(held, members)
    weight = 1 / np.trace(held.found.covariance, axis1=1, axis2=2)
    weight, own = _closed(network, held.found.shift, weight)
    kept = _nearest(held, count) if chain else np.ones(len(weight), dtype=bool)
    used = np.where(kept, weight, 0.0)
    shift, log_scale, level = (network.solve(used, x) for x in _differences(network, used, held.found))
    covariance = _covariance(network, held, weight, own) + network.spread(used)[:, None, None] * own
    covariance[0] = 0.0
    scale = np.exp(log_scale[:, 0])
    fields = {
        "shift": shift,
        "shift_err": np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        "covariance": covariance,
        "scale": scale,
        "background": level[:, 0] * scale,
        **{name: network.average(kept, getattr(held.found, name)) for name in ("chi2", "dof", "overlap")},
    }
    spread = {name: np.full((count, *x.shape[1:]), np.nan) for name, x in fields.items()}
    for name, x in fields.items():
        spread[name][members] = x
    return Registration(**spread, status=status)


class _Network:
    """Frames (numbered among the members) and the links between them; the first frame is the origin."""

    def __init__(self, links: Links, members: np.ndarray) -> None:
        self.size = len(members)
        self.distance = members - members[0]
        self.first, self.second = (np.searchsorted(members, ends) for ends in links[:2])
        rows = np.arange(len(self.first))
        shape = (len(rows), self.size)
        self._from = sparse.csr_matrix((np.ones(len(rows)), (rows, self.first)), shape=shape)
        self._to = sparse.csr_matrix((np.ones(len(rows)), (rows, self.second)), shape=shape)

    def _factors(self, weight: np.ndarray) -> tuple[sparse.csr_matrix, object]:
        incidence = (self._to - self._from)[:, 1:]
        weighted = incidence.T @ sparse.diags(weight)
        return weighted, splu((weighted @ incidence).tocsc())

    def solve(self, weight: np.ndarray, differences: np.ndarray) -> np.ndarray:
        """Return the values (frames, k) whose differences are nearest those given (links, k)."""
        weighted, factors = self._factors(weight)
        values = factors.solve(np.asarray(weighted @ differences))  # type: ignore[attr-defined]
        return np.concatenate([np.zeros((1, differences.shape[1])), values])

    def spread(self, weight: np.ndarray) -> np.ndarray:
        """Return the variance of each frame relative to the origin for links of variance 1/weight, (frames,)."""
        factors, size = self._factors(weight)[1], self.size - 1
        variance = np.zeros(self.size)
        for start in range(0, size, _COLUMNS):
            some = np.arange(start, min(start + _COLUMNS, size))
            unit = np.zeros((size, len(some)))
            unit[some, some - start] = 1.0
            variance[1 + some] = factors.solve(unit)[some, some - start]  # type: ignore[attr-defined]
        return variance

    def average(self, kept: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the mean of what the links of each frame have, (frames,)."""
        both = (self._from + self._to).T
        return (both @ np.where(kept, values, 0.0)) / (both @ kept.astype(float))

    def ends(self, sums: np.ndarray) -> np.ndarray:
        """Return per frame the x (frames, k) of which each link has the sum (links, k) of those of its ends."""
        both = self._from + self._to
        mean = np.mean(sums, axis=0) / 2
        # a link without loops does not tell its ends apart: they have parts near the mean
        normal = both.T @ both + _LIKE_THE_MEAN * sparse.identity(self.size)
        return mean + splu(normal.tocsc()).solve(np.asarray(both.T @ (sums - 2 * mean)))


def _differences(network: _Network, used: np.ndarray, found: Registration) -> list[np.ndarray]:
    """Return what links say of shifts, logarithms of gains, and levels over gains, (links, k) each.

    With m_i = S_i m + B_i and m_j = s m_i + b, B_j / S_j = B_i / S_i + b / S_j.
    """
    log_scale = np.log(found.scale)[:, None]
    gain = np.exp(network.solve(used, log_scale)[network.second])
    return [found.shift, log_scale, found.background[:, None] / gain]


def _closed(network: _Network, shift: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights without wrong links, and the covariance of what is a link's own at weight 1."""
    excess = len(weight) - (network.size - 1)
    if not excess:
        return weight, np.zeros((shift.shape[1], shift.shape[1]))
    trust = np.ones_like(weight)
    for _ in range(_REWEIGHTINGS):
        values = network.solve(weight * trust, shift)
        left = shift - (values[network.second] - values[network.first])
        square = weight * np.sum(left**2, axis=1)
        far = _FAR * max(float(np.median(square)), _CLOSED)
        trust = np.minimum(1.0, far / np.maximum(square, far))
    sure = trust == 1
    own = np.einsum("l,li,lj->ij", (weight * sure), left, left) / max(excess - np.sum(~sure), 1)
    return weight * trust, own


def _nearest(links: Links, count: int) -> np.ndarray:
    """Return which links make the tree in which each frame hangs on the nearest one."""
    lag = (links.second - links.first).astype(float)
    tree = csgraph.minimum_spanning_tree(sparse.coo_matrix((lag, (links.first, links.second)), shape=(count, count)))
    ends = sparse.coo_matrix(tree)
    edges = np.minimum(ends.row, ends.col) * count + np.maximum(ends.row, ends.col)
    return np.isin(links.first * count + links.second, edges)


def _covariance(network: _Network, links: Links, weight: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the covariance (frames, k, k) that is of the frames themselves, relative to that of the first."""
    k = own.shape[0]
    pair = links.found.covariance - own / weight[:, None, None]
    lag = (links.second - links.first).astype(float)
    growth = _growth(pair, lag)
    parts = network.ends(np.reshape(pair - growth * lag[:, None, None], (-1, k * k)))
    parts = _positive(np.reshape(parts, (-1, k, k)))
    return parts + parts[0] + growth * network.distance[:, None, None]


def _growth(pair: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """Return by how much the covariance of a pair grows per frame that lies between, if that is significant."""
    near, far = (pair[lag == which] for which in (np.min(lag), np.max(lag)))
    if len(near) < 3 or len(far) < 3 or np.min(lag) == np.max(lag):
        return np.zeros(pair.shape[1:])
    slope = (np.mean(far, axis=0) - np.mean(near, axis=0)) / (np.max(lag) - np.min(lag))
    error = np.sqrt(sum(np.var(np.trace(x, axis1=1, axis2=2)) / len(x) for x in (near, far)))
    significant = np.trace(slope) * (np.max(lag) - np.min(lag)) > 3 * error
    return _positive(slope) if significant else np.zeros_like(slope)


def _positive(matrices: np.ndarray) -> np.ndarray:
    """Return the nearest matrices that are covariances."""
    values, vectors = np.linalg.eigh((matrices + np.swapaxes(matrices, -1, -2)) / 2)
    return (vectors * np.maximum(values, 0.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _failures(links: Links, members: np.ndarray, count: int) -> np.ndarray:
    """Return the status (frames,): 0 for members; for others that of a link to a frame before, or else after it."""
    status = np.full(count, int(Status.NOT_CONVERGED), dtype=np.int32)
    for ends in (links.first, links.second):
        failed = links.found.status != 0
        status[ends[failed]] = links.found.status[failed]
    status[members] = 0
    return status
