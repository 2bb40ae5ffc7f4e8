"""The benchmarks tell the truth: planted lies are found, files are as they should be, quoted figures are in them."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.fft
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # behind what is installed

# ruff: isort: off
from benchmarks import accuracy, calibration, claims, clock, compare, faint, gpu, peers, quotes, record  # noqa: E402
from benchmarks import limits, pages, report, scaling, spectra, speed, systems, tables, turned  # noqa: E402
from benchmarks.__main__ import main as command  # noqa: E402
from benchmarks.peers import METHODS, Answer, Method, Pair  # noqa: E402
# ruff: isort: on

NAMED = {m.name: m for m in METHODS}
OVERLAP, WRAP = NAMED["imreg_xp, overlap"], NAMED["imreg_xp, wrap, white"]


def broken(*_):
    return 1 / 0


MISSING = Method("nobody's", ("no-such-package",), "no_such_package", broken, errors=True)


FAILING = Method("numpy, failing", ("numpy",), "numpy", broken, errors=True)


# --- how the others are called ----------------------------------------------------------------------------------------


ALL = list({m.name: m for m in (*METHODS, *systems.REPORTING, *systems.SYSTEMS)}.values())


@pytest.mark.parametrize("method", ALL, ids=lambda m: m.name)
def test_every_method_speaks_our_convention(method):
    package = peers.load(method)
    if package is None:
        pytest.skip(f"{method.module} is not installed")
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96]
    blobs = [*zip(rng.uniform(35, 60, 30), rng.uniform(35, 60, 30), rng.uniform(0.5, 2, 30), strict=True)]

    def seen(dy, dx):
        image = sum(a * np.exp(-((y - v - dy) ** 2 + (x - u - dx) ** 2) / 5) for v, u, a in blobs)
        return image + 0.001 * rng.normal(size=image.shape)

    pair = Pair(seen(0, 0), seen(2.7, -1.4), 0.001)
    found = peers.answer(method, package, pair)
    assert isinstance(found, Answer), found
    np.testing.assert_allclose(found.shift, [-2.7, 1.4], atol=0.7)  # the brightest pixel is one of the answers
    assert (found.error is not None) == method.errors
    if method.stack is not None:
        shifts = method.stack(package, pair.reference, np.stack([pair.moving] * 3))
        np.testing.assert_allclose(shifts, np.tile(found.shift, (3, 1)), atol=1e-3)


def test_masked_pixels_are_hidden_from_methods_without_masks():
    image = np.arange(16.0).reshape(4, 4)
    image[1, 2] = np.nan
    pair = peers.filled(Pair(image, image))
    assert pair.reference[1, 2] == np.nanmedian(image)


def test_what_is_missing_or_fails_is_a_row():
    methods = (OVERLAP, MISSING, FAILING)
    rows = {
        "speed": speed.pairs_of(methods, 16, "float64", 1, 1, 1.0),
        "accuracy": accuracy.cell(methods, "periodic", 0.1, 32, 2),
        "calibration": calibration.measure(methods, calibration.CASES[6], 32, 2),
    }
    for part, found in rows.items():
        notes = {row["method"]: row["note"] for row in found}
        assert notes[OVERLAP.name] == ""
        assert notes["nobody's"] == "not installed"
        assert notes["numpy, failing"].startswith("fails: ZeroDivisionError")
        assert record.check(record.new(part, found, quick=True, seeds=[1])) == []


# --- planted lies -----------------------------------------------------------------------------------------------------


def changed(method, change):
    """Return a method whose answers pass through `change`."""
    return dataclasses.replace(method, pair=lambda package, pair: change(method.pair(package, pair)))


def calibrated(method):
    rows = calibration.measure([method], calibration.CASES[6], 64, 150)
    return claims.doubts(record.new("calibration", rows, quick=False, seeds=[calibration.SEED]))


@pytest.mark.slow
def test_errors_that_are_too_large_by_30_percent_are_found():
    assert calibrated(OVERLAP) == []
    found = calibrated(changed(OVERLAP, lambda a: a._replace(error=1.3 * a.error)))
    assert len(found) == 1
    assert "the rms of the pulls is 0.7" in found[0]


@pytest.mark.slow
def test_errors_that_are_too_small_are_found():
    assert "pulls" in calibrated(changed(OVERLAP, lambda a: a._replace(error=a.error / 1.3)))[0]


def measured(method):
    rows = accuracy.cell([method], "cut-outs", 0.01, 64, 60)
    return claims.doubts(record.new("accuracy", rows, quick=False, seeds=[accuracy.SEED])), rows[0]


@pytest.mark.slow
def test_a_bias_of_a_fiftieth_of_a_pixel_is_found():
    doubts, honest = measured(OVERLAP)
    assert doubts == []
    found, row = measured(changed(OVERLAP, lambda a: a._replace(shift=a.shift + 0.02)))
    assert len(found) == 1
    assert "times the Cramér-Rao bound" in found[0]
    assert row["bias"] == pytest.approx(0.02, abs=0.005)
    assert honest["bias"] < 0.005


TRANSFORMS = ("rfftn", "ihfftn", "irfftn", "ifftn", "irfft", "rfft2", "irfft2")


def twice(transform):
    def both(*args, **kwargs):
        transform(*args, **kwargs)
        return transform(*args, **kwargs)

    return both


def wasteful(package, pair):
    with mock.patch.multiple(scipy.fft, **{name: twice(getattr(scipy.fft, name)) for name in TRANSFORMS}):
        return WRAP.pair(package, pair)


@pytest.fixture
def clock_of_transforms(monkeypatch):
    """Let time pass in Fourier transforms only, by the sizes of what they are given, whatever else the machine does."""
    passed = [0.0]

    def counted(transform):
        def call(array, *args, **kwargs):
            passed[0] += 1e-7 * np.size(array)
            return transform(array, *args, **kwargs)

        return call

    for name in TRANSFORMS:
        monkeypatch.setattr(scipy.fft, name, counted(getattr(scipy.fft, name)))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: passed[0])


def timed(rows, method):
    """Return a record of `speed` with the rows of one method, called as the honest one is."""
    chosen = [{**row, "method": WRAP.name} for row in rows if row["method"] == method]
    return record.new("speed", chosen, quick=False, seeds=[0])


def test_transforms_done_twice_are_found(clock_of_transforms):
    methods = [WRAP, dataclasses.replace(WRAP, name="again"), dataclasses.replace(WRAP, name="twice", pair=wasteful)]
    rows = speed.pairs_of(methods, 64, "float64", 1, 3, 20.0)
    honest, again, lie = (timed(rows, name) for name in (WRAP.name, "again", "twice"))
    assert not compare.compared(honest, again)[1]
    (found,) = compare.compared(honest, lie)[1]
    assert found["change"] == pytest.approx(2)


def test_cases_at_once_give_what_they_give_one_by_one():
    cases = [{"case": case, "size": 32, "counts": (2, 1)} for case in calibration.CASES[:2]]
    assert clock.at_once(calibration.everyone, cases) == clock.at_once(calibration.everyone, cases, quick=True)


def test_a_peer_that_wins_is_named():
    case = {"kind": "pair", "size": 64, "frames": 1, "dtype": "float64", "threads": 1}
    case["images"] = None
    rows = [{**case, "method": WRAP.name, "ms": 2.0}, {**case, "method": "theirs", "ms": 1.0}]
    assert claims.wins({"command": "speed", "rows": rows}) == [
        f"theirs is faster than {WRAP.name}: by 2.0 (a pair of 64², float64, 1 thread)"
    ]
    assert claims.wins({"command": "speed", "rows": rows[:1]}) == []
    rows = [{"what": "smooth", "size": 64, "ratio": 0.5}, {"what": "zoomnd", "size": 64, "ratio": 2.0}]
    found = claims.wins({"command": "documented", "rows": rows})
    assert found == ["smooth of image-registration is faster than ours: by 2.00 (64²)"]


@pytest.mark.slow
def test_turns_that_are_off_and_errors_that_are_too_small_are_found():
    honest = turned.METHODS[0]
    lies = {
        "angle": changed(honest, lambda f: f._replace(angle=f.angle + 0.2)),
        "magnification": changed(honest, lambda f: f._replace(magnification=1.01 * f.magnification)),
        "shift": changed(honest, lambda f: f._replace(shift=f.shift + 0.1)),
    }
    low = dataclasses.replace(changed(honest, lambda f: f._replace(error=f.error / 1.6)), name="imreg_xp, similarity")
    away = changed(honest, lambda f: f._replace(shift=f.shift + 5))
    rows = turned.cell([honest, low, away, *lies.values()], "small turns", (0.05,), 64, 12)
    true, claimed, lost, *wrong = rows
    assert claims.doubts({"command": "turned", "rows": [true]}) == []
    assert "the rms of the pulls is 1." in claims.doubts({"command": "turned", "rows": [claimed]})[0]
    assert "100% lost" in claims.doubts({"command": "turned", "rows": [lost]})[0]
    for name, row in zip(lies, wrong, strict=True):
        amount = {"angle": 0.2, "magnification": 0.01, "shift": 0.1}
        assert row[f"rms_{name}"] == pytest.approx(amount[name], rel=0.2)
        others = set(amount) - {name}
        assert all(row[f"rms_{other}"] < 0.5 * amount[other] for other in others)
    peer = {**wrong[0], "method": "theirs", "ms": 1.0, "rms_angle": true["rms_angle"] / 2}
    found = claims.wins({"command": "turned", "rows": [{**true, "ms": 2.0}, peer]})
    assert found == [
        "theirs is nearer than imreg_xp, similarity: by 2.00 in angle (small turns, noise 0.05)",
        "theirs is faster than imreg_xp, similarity: by 2.0 (64²)",
    ]


@pytest.mark.parametrize("method", turned.METHODS, ids=lambda m: m.name)
def test_every_method_speaks_our_convention_of_turns(method):
    if peers.load(method) is None:
        pytest.skip("not installed")
    # the Sun, which imreg_dft finds too
    (row,) = turned.cell([method], "real: aia_171.fits", (0.05,), 128, 3)
    assert row["lost"] == 0
    assert row["rms_angle"] < 1
    assert row["rms_magnification"] < 0.03
    assert (row["pull"] is not None) == method.errors


# --- how things are measured ------------------------------------------------------------------------------------------


def test_calls_take_turns_and_a_failure_ends_only_its_own():
    turns = []
    kinds = {"a": lambda: turns.append("a"), "b": lambda: 1 / 0, "c": lambda: turns.append("c")}
    taken, failures = clock.interleaved(kinds, 3)
    assert turns == ["a", "c"] * 4
    assert {what: len(t) for what, t in taken.items()} == {"a": 3, "b": 0, "c": 3}
    assert failures == {"b": "fails: ZeroDivisionError"}


def test_a_slow_call_gets_fewer_turns():
    with mock.patch.object(clock.time, "perf_counter", iter(range(100)).__next__):
        taken, _ = clock.interleaved({"a": lambda: None}, 9, seconds=1.5)
    assert len(taken["a"]) == 1


def test_memory_is_that_of_the_call():
    """Two spectra and an image, each the size of an image; the images given are not counted."""
    case = {"kind": "pair", "size": 1024, "frames": 1, "dtype": "float64", "method": speed.FLOORS["pair"]}
    found = clock.in_child("speed", "memory", **case)
    assert 1.9 < found / (8 * 1024**2) < 3.2


def test_a_failure_in_a_process_of_its_own_is_told():
    with pytest.raises(RuntimeError, match="failed in its own process"):
        clock.in_child("speed", "no_such_function")


def test_slope_of_a_power_law():
    assert scaling.slope([{"value": n, "ms": 3 * n**1.5} for n in (10, 100, 1000)], "ms") == pytest.approx(1.5)
    assert scaling.slope([{"value": 10, "ms": 1.0}], "ms") is None


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records():
    """A record of each part, as small as can be."""
    methods = [OVERLAP, WRAP, MISSING]
    names = [speed.FLOORS["pair"], OVERLAP.name]
    device = gpu.Device("NumPy in the place of a GPU", np.asarray, np.copy, np.fft.rfft2, lambda: None)
    host = gpu.on_host("wrap", "white", 32, 2, 1)
    rows = {
        "speed": [
            *speed.pairs_of(methods, 16, "float64", 1, 1, 1.0),
            *speed.stacks_of(methods, 2, 16, "float32", 1, 1, 1.0),
        ],
        "accuracy": [
            row for scene in ("periodic", "cut-outs") for noise in (0.1, 0.3)
            for row in accuracy.cell(methods, scene, noise, 32, 2)
        ],
        "calibration": calibration.measure(methods, calibration.CASES[6], 32, 3),
        "scaling": [
            r for a, f in (("pair", 1), ("stack", 2)) for r in scaling.times(a, 16, f, [*names, "none"], 1, 1.0)
        ] + scaling.worker_times(16, 2, 1, 1.0),
        "gpu": [gpu.budget("wrap", "white", 32, 2), gpu.measured(device, "wrap", "white", 32, 2, 1, 100.0, host),
                gpu.from_host(device, "wrap", "white", 32, 2, 1, host)],
        "documented": [{"size": 16, "what": "chi2_shift", "ms": 1.0, "theirs_ms": None, "ratio": None, "note": ""}],
        "systems": [
            {**row, "ms": 1.0, "ratio": 1.0}
            for row in accuracy.cell([*methods, *systems.SYSTEMS[-2:]], "stars", 0.1, 32, 2)
        ],
        "turned": turned.cell([turned.METHODS[0], MISSING], "small turns", (0.1,), 48, 2),
        "faint": [row for count in (3, 5) for row in faint.cell("periodic", 1.0, count, 2, size=16)],
        "limits": [
            limits.interpolation(1.0, 1, 32),
            limits.turning(1.0, 1, 32),
            limits.small(16, "white", 2),
            limits.undersampled("real: aia_171.fits", given=True, size=32, count=1),
            limits.pair_bias(0.1, fit_scale=True, scenes=1, count=3),
        ],
        "spectra": [*spectra.errors(10, 200, 3), *spectra.batch(4, 300, 2)],
    }  # fmt: skip
    return {part: record.new(part, found, quick=True, seeds=[0]) for part, found in rows.items()}


def test_every_part_has_a_record(records):
    assert set(records) == set(record.ROWS)


@pytest.mark.parametrize("part", record.ROWS)
def test_records_are_as_they_should_be(records, part, tmp_path):
    assert record.check(records[part]) == []
    record.write(tmp_path / "a.json", records[part])
    assert record.read(tmp_path / "a.json") == records[part]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.pop("seeds"), "no `seeds`"),
        (lambda r: r.update(version=0), "version 0"),
        (lambda r: r.update(command="none"), "no part"),
        (lambda r: r.update(rows=[]), "no rows"),
        (lambda r: r["environment"].pop("cpu"), "no `cpu`"),
        (lambda r: r["rows"][0].pop("ms"), "no `ms`"),
        (lambda r: r["rows"][0].update(ms="fast"), "must be a number or null"),
        (lambda r: r["rows"][0].update(ms=float("nan")), "must be a number or null"),
        (lambda r: r["rows"][0].update(size=True), "must be int"),
    ],
)
def test_a_record_that_is_not_is_refused(records, change, complaint, tmp_path):
    bad = copy.deepcopy(records["speed"])
    change(bad)
    with pytest.raises(ValueError, match=complaint):
        record.write(tmp_path / "a.json", bad)
    (tmp_path / "a.json").write_text(json.dumps(bad))
    result = CliRunner().invoke(command, ["check", str(tmp_path / "a.json")])
    assert result.exit_code == 1
    assert complaint in result.output


def test_the_model_of_a_gpu_says_that_it_is_one(records):
    model, measurement, _ = records["gpu"]["rows"]
    assert model["model"]
    assert "model" in model["note"]
    assert model["launches"] > 0
    assert not measurement["model"]
    assert measurement["speed_up"] > 0
    assert measurement["bandwidth"] > 0
    assert measurement["over_ffts"] > 0


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.15, 0), (0.5, 0), (1.25, 1), (None, 1)])
def test_compare(records, tmp_path, factor, code):
    old, new = records["speed"], copy.deepcopy(records["speed"])
    for row in new["rows"]:
        if row["method"] == OVERLAP.name and row["kind"] == "pair":
            row["ratio"] = None if factor is None else factor * row["ratio"]
    for name, one in (("old", old), ("new", new)):
        record.write(tmp_path / f"{name}.json", one)
    result = CliRunner().invoke(command, ["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")])
    assert result.exit_code == code, result.output
    assert ("worse" in result.output) == bool(code)


def test_compare_wants_two_records_of_the_same_kind(records):
    with pytest.raises(ValueError, match="only records of `speed`"):
        compare.compared(records["gpu"], records["speed"])
    with pytest.raises(ValueError, match="no rows in common"):
        compare.compared(records["speed"], {**records["speed"], "quick": False})


def test_the_report_is_made_from_the_files(records, tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "results"
    for part, one in records.items():
        record.write(folder / f"{part}.json", one)
    written = report.make(folder, tmp_path / "page.md")
    plots = ["speed.png", "accuracy.png", "calibration.png", "scaling.png", "faint.png"]
    assert [p.name for p in written] == ["page.md", *plots]
    text = written[0].read_text()
    assert "not installed" in text
    assert "This is a quick run" in text
    for row in records["speed"]["rows"]:
        assert row["ms"] is None or f"{tables.brief(row['ms'])} ({row['ratio']:.2f})" in text
    for image in written[1:]:
        assert image.read_bytes().startswith(b"\x89PNG")
        assert f"](results/{image.name})" in text


def test_the_command_line_runs_every_part(records, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for part, one in records.items():
        room = importlib.import_module(f"benchmarks.{part}")
        monkeypatch.setattr(room, "rows", lambda quick, one=one: one["rows"] if quick else pytest.fail("not quick"))
    result = CliRunner().invoke(command, ["all", "--quick", "--out", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert "not installed" in result.output
    files = [str(tmp_path / "results" / f"{part}.json") for part in records]
    for arguments in (["check", *files], ["report", "--folder", str(tmp_path / "results")]):
        assert CliRunner().invoke(command, arguments).exit_code == 0
    assert (tmp_path / "results.md").exists()
    result = CliRunner().invoke(command, ["speed", "--quick", "--json", str(tmp_path / "speed.json")])
    assert result.exit_code == 0
    assert record.read(tmp_path / "speed.json")["rows"] == records["speed"]["rows"]
    assert record.read(tmp_path / "speed.json")["environment"]["seconds"] >= 0


def test_every_case_of_speed_is_run(monkeypatch):
    asked = []

    def child(module, function, *, threads, sizes, counts, dtype, use, **rest):
        assert threads == use
        asked.extend([(n, dtype, use) for n in sizes] + [(k, n, dtype, use) for k, n in counts])
        return []

    monkeypatch.setattr(speed, "in_child", child)
    speed.rows(quick=False)
    assert sorted(map(str, asked)) == sorted(map(str, [*speed._FULL[0], *speed._FULL[1]]))


def test_memory_is_that_of_its_own_row(monkeypatch):
    def child(module, function, **case):
        if function == "memory":
            return 1e6 * case["size"] * case["frames"]
        if function == "worker_times":
            return []
        what = {"against": case["kind"], "value": case["size"] * case["frames"], "megabytes": None}
        methods = scaling._PAIR if case["kind"] == "pair" else scaling._STACK
        one = {k: case[k] for k in ("kind", "size", "frames")}
        return [{**what, **one, "method": m, "ms": None if m == methods[1] else 1.0, "note": ""} for m in methods]

    monkeypatch.setattr(scaling, "in_child", child)
    for row in scaling.rows(quick=False):
        assert row["megabytes"] == (None if row["ms"] is None else row["value"])


# --- what is quoted ---------------------------------------------------------------------------------------------------

TEXTS = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.*"))) if p.suffix in (".md", ".rst")]
PAGE = record.FOLDER.with_suffix(".md")


@pytest.mark.parametrize("path", [p for p in TEXTS if p != PAGE], ids=lambda p: p.name)
def test_quoted_figures_are_in_the_files(path):
    assert quotes.unfounded(path.read_text(), record.FOLDER) == []


MODULES = sorted((ROOT / "imreg_xp").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_figures_in_docstrings_are_in_the_files(path):
    assert quotes.unfounded(quotes.docstrings(path, ROOT), record.FOLDER) == []


def test_sources_of_docstrings_are_of_files_that_exist():
    assert {ROOT / file for file, _ in quotes.quoted()} <= set(MODULES)


def test_the_page_is_what_the_files_say():
    found = report.records(record.FOLDER)
    assert set(found) == set(record.ROWS)
    assert report.page(found, record.FOLDER.name) == PAGE.read_text()


def test_tables_in_other_pages_are_what_the_files_say():
    blocks = report.blocks(report.records(record.FOLDER))
    texts = [path.read_text() for path in TEXTS]
    assert {name for text in texts for name in pages.places(text)} == set(blocks)
    for text in texts:
        assert pages.filled(text, blocks) == text


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("It takes 2.1 times the FFTs.\n<!-- bench: 2.1 = a.json; method=x, y; size=8; ratio -->", 0),
        ("It takes 2.1 times the FFTs.\n\n.. bench: 2.1 = a.json; method=x, y; size=8; ratio\n", 0),
        ("It takes 2.1 times the FFTs.", 1),
        ("It is 7 × faster.", 1),
        ("It takes 3 ms.", 1),
        ("It takes 2.2 times the FFTs.\n<!-- bench: 2.2 = a.json; method=x, y; size=8; ratio -->", 1),
        ("It takes 2.1 times the FFTs.\n<!-- bench: 2.1 = a.json; method=x, y; ratio -->", 1),
        ("The bias is 2.1 pixels.", 1),
        ("A bias of 2e-4 pixels.", 1),
        ("10 % are lost.", 1),
        ("10 % are lost.\n<!-- bench: 10 = given -->", 0),
        ("Up to 2.2.\n<!-- bench: 2.2 >= a.json; method=x*; ratio -->", 0),
        ("Up to 2.1.\n<!-- bench: 2.1 >= a.json; method=x*; ratio -->", 1),
        ("Up to 5.1.\n<!-- bench: 5.1 >= a.json; method=x*; ratio -->", 1),
        ("At least 2.1.\n<!-- bench: 2.1 <= a.json; method=x*; ratio -->", 0),
        ("At least 2.2.\n<!-- bench: 2.2 <= a.json; method=x*; ratio -->", 1),
        ("`f(2.1)` and\n\n```python\n>>> 2.1\n2.1\n\n```\n", 0),
        ("It takes 2.1 times the FFTs.\n<!-- bench: 2.1 = b.json; method=x, y; size=8; ratio -->", 1),
        ("Nothing.\n<!-- bench: 2.1 = a.json; method=x, y; size=8; ratio -->", 1),
    ],
)
def test_a_figure_that_no_file_bears_out_is_found(text, problems, tmp_path):
    rows = [{"method": "x, y", "size": n, "ratio": 2.1234} for n in (8, 16)]
    (tmp_path / "a.json").write_text(json.dumps({"rows": rows}))
    assert len(quotes.unfounded(text, tmp_path)) == problems
