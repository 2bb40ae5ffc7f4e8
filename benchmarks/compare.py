"""Has it become slower? Two records of `speed`, by the ratios to the FFTs of their own runs."""

from __future__ import annotations

from typing import Any

__all__ = ["WORSE", "compared"]

Record = dict[str, Any]

WORSE = 1.2
_CASE = ("kind", "size", "frames", "dtype", "threads", "method")


def compared(old: Record, new: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row for each of our rows of `old`, and those of them in which `new` is worse by more than 20 %.

    A row that `new` does not have, or has no ratio in, counts as worse: nobody looked.
    """
    for record in (old, new):
        if record["command"] != "speed":
            msg = f"only records of `speed` can be compared, not of `{record['command']}`"
            raise ValueError(msg)
    if old["quick"] != new["quick"]:
        msg = "a quick record and a full one have no rows in common"
        raise ValueError(msg)
    after = {tuple(row[k] for k in _CASE): row["ratio"] for row in new["rows"]}
    rows = []
    for row in old["rows"]:
        if row["ratio"] is None or not row["method"].startswith("imreg_xp"):
            continue
        now = after.get(tuple(row[k] for k in _CASE))
        change = None if now is None else now / row["ratio"]
        rows.append({**{k: row[k] for k in _CASE}, "old": row["ratio"], "new": now, "change": change})
    if not rows:
        msg = "the old record has no row of ours"
        raise ValueError(msg)
    return rows, [row for row in rows if row["change"] is None or row["change"] > WORSE]
