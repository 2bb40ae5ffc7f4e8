"""Print the shell commands that the README gives under a heading, so that CI runs what a reader would.

    python ci/readme_commands.py README.md "Try it"

The section must be there once and hold exactly one fenced ``bash`` block: anything else is an error, because commands
that are not found would be commands that are not tested.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["commands"]

_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})\s*(?P<info>.*)")
_HEADING = re.compile(r"(?P<level>#{1,6})\s+(?P<title>.*?)\s*#*\s*")


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (heading of level 1 or 2, language, code) for every heading of that level, with "", and every block."""
    section, mark, language, code = "", "", "", []
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line)
        if mark:
            closes = fence and fence["mark"].startswith(mark) and not fence["info"]
            if not closes:
                code.append(line)
                continue
            yield section, language, "\n".join(code)
            mark = ""
        elif fence:
            mark, language, code = fence["mark"], fence["info"].strip().lower(), []
        elif (heading := _HEADING.fullmatch(line)) and len(heading["level"]) <= 2:
            section = heading["title"]
            yield section, "", ""
    if mark:
        msg = f"a code block under '{section}' is not closed"
        raise ValueError(msg)


def commands(text: str, heading: str) -> str:
    """Return the code of the one ``bash`` block in the section `heading` (of level 2) of a Markdown text.

    Raises
    ------
    ValueError
        There is no such section or more than one, or it has no such block, more than one, or an empty one.
    """
    found = [(language, code) for section, language, code in _blocks(text) if section == heading]
    headings = found.count(("", ""))
    if headings != 1:
        msg = f"{headings} sections '## {heading}', exactly 1 expected"
        raise ValueError(msg)
    blocks = [code for language, code in found if language == "bash"]
    if len(blocks) != 1:
        msg = f"{len(blocks)} bash blocks under '## {heading}', exactly 1 expected"
        raise ValueError(msg)
    if not blocks[0].strip():
        msg = f"the bash block under '## {heading}' is empty"
        raise ValueError(msg)
    return blocks[0]


def main(arguments: list[str]) -> int:
    """Print the commands and return the exit code."""
    if len(arguments) != 2:
        print("usage: readme_commands.py README.md HEADING", file=sys.stderr)
        return 2
    readme, heading = arguments
    try:
        print(commands(Path(readme).read_text(encoding="utf-8"), heading))
    except (OSError, ValueError) as error:
        print(f"{readme}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
