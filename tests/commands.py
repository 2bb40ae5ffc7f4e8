"""What tests of the command line share."""

from __future__ import annotations

__all__ = ["refused"]


def refused(result, *words):
    """Check that a call ended as bad input should: exit code 2, one line on stderr that has the words, no traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
