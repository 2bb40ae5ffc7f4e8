"""The commands that CI runs are those of the README, or CI fails."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "ci" / "readme_commands.py"

README = """# Title

```bash
not this
```

## Try it

Words, and `code`.

```bash
# a comment, no heading
## Test it
one &&
  two
```

### Below

```python
no_shell()
```

## Test it ##

~~~~ bash
three
```
~~~~
"""


@pytest.fixture(scope="module")
def commands():
    spec = importlib.util.spec_from_file_location("readme_commands", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commands


def test_commands_are_found(commands):
    assert commands(README, "Try it") == "# a comment, no heading\n## Test it\none &&\n  two"
    assert commands(README, "Test it") == "three\n```"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 sections"),
        ("### Try it\n```bash\none\n```", "0 sections"),
        ("## Try it now\n```bash\none\n```", "0 sections"),
        ("```\n## Try it\n```", "0 sections"),
        ("## Try it\n```bash\none\n```\n## Try it\n", "2 sections"),
        ("## Try it\n", "0 bash blocks"),
        ("## Try it\n```sh\none\n```", "0 bash blocks"),
        ("## Try it\n## Next\n```bash\none\n```", "0 bash blocks"),
        ("## Try it\n# Next\n```bash\none\n```", "0 bash blocks"),
        ("## Try it\n```bash\none\n```\n### More\n```bash\ntwo\n```", "2 bash blocks"),
        ("## Try it\n```bash\n\n```", "empty"),
        ("## Try it\n```bash\none\n", "not closed"),
    ],
)
def test_anything_else_is_an_error(commands, tmp_path, text, problem):
    with pytest.raises(ValueError, match=problem):
        commands(text, "Try it")
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    done = _run(str(readme), "Try it")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{readme}: ")


def test_a_missing_file_is_an_error(tmp_path):
    assert _run(str(tmp_path / "README.md"), "Try it").returncode == 1
    assert _run().returncode == 2


@pytest.mark.parametrize("heading", ["Try it", "Test it"])
def test_the_readme_has_them(heading):
    done = _run(str(ROOT / "README.md"), heading)
    assert done.returncode == 0, done.stderr
    assert "pip install" in done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
