"""Speed and truth of imreg_xp and of its peers, on the same pixels in one run: ``python -m benchmarks --help``.

Nothing here is a test. Each part prints a table and writes its rows to a JSON file (`record` says what is in it), from
which `report` makes the page ``docs/benchmarks.md``.
"""
