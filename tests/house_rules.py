"""The house rules of the package as checks on syntax trees: one small function per rule.

Each takes a `Module` and yields the `Violation`s in it. The floors, from the ground up, and who may look where are in
`ROOMS`; every exception to a rule is listed in this file with its reason.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["PACKAGE", "RULES", "Module", "Violation", "modules_below", "violations"]

PACKAGE = "imreg_xp"
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40


@dataclasses.dataclass(frozen=True)
class Room:
    """Modules that belong together, the floor they are on, and rooms of their own floor that they may use too."""

    name: str
    floor: int
    modules: tuple[str, ...]
    also: tuple[str, ...] = ()


# The first part of a module's name below the package; "" is the package itself. A new module needs a line here.
ROOMS = (
    Room("version", 0, ("_version",)),
    Room("functions of the host", 0, ("_host",)),
    Room("border", 0, ("_array",), also=("functions of the host",)),
    Room("bounds", 0, ("_bounds",), also=("border",)),
    Room("tables", 0, ("_static",), also=("border",)),
    # what becomes one kernel where kernels are compiled
    Room("kernels", 0, ("_kernels",), also=("border", "tables")),
    Room("sums", 0, ("_sums",), also=("border", "tables", "kernels")),
    Room("providers", 0, ("_providers",), also=("border", "tables", "kernels", "sums")),
    Room("layout", 0, ("_layout",), also=("border", "tables", "kernels")),
    Room("fft lengths", 0, ("_fft_length",)),
    Room("batches", 0, ("_batch",), also=("border",)),
    Room("memory", 0, ("_memory",), also=("border",)),
    Room("fft_tools", 1, ("fft_tools",)),
    Room("engine", 2, ("_engine",)),
    # what both faces check and prepare before the engine starts
    Room("inputs", 3, ("_inputs",)),
    # reads stacks from wherever they lie
    Room("frames", 3, ("frames",)),
    # what pairs of frames say, put together on the host
    Room("adjustment", 3, ("adjustment",)),
    Room(
        "native face",
        3,
        ("registration", "transforms", "coadds", "blocks", "rounds", "links", "lazy", "stacks"),
        also=("inputs", "frames", "adjustment"),
    ),
    Room("documented face", 3, ("chi2_shifts", "cross_correlation_shifts", "register_images"), also=("inputs",)),
    # what other systems do, by their names
    Room("methods", 3, ("methods",), also=("inputs",)),
    # re-exports what is on its own floor, and what is above only when it is asked for (no import statement)
    Room("package", 3, ("",), also=("native face", "documented face")),
    Room("FITS", 4, ("FITS_tools",)),
    # what commands must not overwrite
    Room("outputs", 4, ("_outputs",)),
    Room(
        "on request",
        4,
        ("plotting", "demo", "cli", "selftest", "stack_command", "stack_job", "__main__"),
        also=("FITS", "outputs"),
    ),
)
_ROOM_OF = {module: room for room in ROOMS for module in room.modules}

BORDER = f"{PACKAGE}._array"
ARRAY_LIBRARIES = {"array_api_compat", "array_api_extra", "array_api_strict", "cupy", "jax", "torch"}
UPPER_FLOOR_LIBRARIES = {"astropy", "click", "dask", "matplotlib", "reproject"}

# Floors 1 and 2 do not import NumPy, except for constants that depend on shapes alone and documented defaults.
HOST_CONSTANTS = {
    f"{PACKAGE}.fft_tools.downsample": "a NumPy function is a documented default",
    f"{PACKAGE}.fft_tools.smooth": "a NumPy function is a documented default",
    f"{PACKAGE}.fft_tools._matrices": "static matrices between the samples of an axis, from sizes and numbers",
    f"{PACKAGE}.fft_tools.splines": "static tables of the modes of an axis, from its length",
    f"{PACKAGE}.fft_tools._modes": "static tables of the modes of an axis, from its length",
    f"{PACKAGE}._engine._linalg": "a static table of signs",
    f"{PACKAGE}._engine.binning": "a static table of the first pixels of blocks",
    f"{PACKAGE}._engine.fill": "static tables of a beam",
    f"{PACKAGE}._engine.lag_grid": "static tables of lags, from shapes",
    f"{PACKAGE}._engine.ml_weights": "static tables of the frequencies of rings",
    f"{PACKAGE}._engine.spectrum": "a static table of the outermost rings",
    f"{PACKAGE}._engine.noise": "static tables of lags, from the shape of a grid",
    f"{PACKAGE}._engine.subpixel": "static tables of powers",
    f"{PACKAGE}._engine.logpolar": "static tables of log-polar axes, from the shapes of images",
    f"{PACKAGE}._engine.peaks": "static tables of sizes and limits",
    f"{PACKAGE}._engine.result": "a static table of limits",
    f"{PACKAGE}._engine.taylor": "static tables of differences",
    f"{PACKAGE}._engine.series": "static tables of powers",
    f"{PACKAGE}._engine.extend": "a taper of a given length",
    f"{PACKAGE}._engine.rings": "static tables of the rings of a spectrum, from its shape",
}

CREATION = {"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros", "fft.fftfreq", "fft.rfftfreq"}
READ_CALLS = {"bool", "complex", "float", "int"}
READ_METHODS = {"item", "tolist"}
# they read values, or give shapes that depend on values
READ_FUNCTIONS = {
    "argwhere",
    "bincount",
    "from_dlpack",
    "histogram",
    "nonzero",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unravel_index",
}
MASK_FUNCTIONS = {"isfinite", "isinf", "isnan", "logical_and", "logical_not", "logical_or", "logical_xor"}
ARRAY_ATTRIBUTES = {"H", "T", "conj", "conjugate", "imag", "mT", "real"}
_LIBRARY_NAMES = re.compile("cupy|torch|jax", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Violation:
    """A line that breaks a rule, and how."""

    module: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Module:
    """One module of the package: its dotted name and its source."""

    name: str
    source: str
    is_package: bool = False

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; every node knows its `parent`."""
        tree = ast.parse(self.source)
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node  # type: ignore[attr-defined]
        return tree

    @property
    def room(self) -> Room | None:
        """The room this module is in, None if it is in none."""
        return _ROOM_OF.get(_below(self.name))

    @property
    def floor(self) -> int:
        """The floor this module is on; a module without a room is on the top floor."""
        return self.room.floor if self.room else 4

    @property
    def is_algorithm(self) -> bool:
        """Whether the module is on floors 1 or 2, where arrays are never looked at."""
        return self.floor in (1, 2)

    def violation(self, node: ast.AST | int, message: str) -> Violation:
        """Return a violation at `node` or a line."""
        return Violation(self.name, node if isinstance(node, int) else node.lineno, message)


Rule = Callable[[Module], Iterator[Violation]]


def modules_below(folder: Path) -> list[Module]:
    """Return the modules of the package in `folder`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(folder).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        found.append(Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package))
    return found


def violations(module: Module) -> list[Violation]:
    """Return all violations of all rules in `module`."""
    return [v for rule in RULES.values() for v in rule(module)]


# --- what the rules have in common -----------------------------------------------------------------------------------


def _below(name: str) -> str:
    """Return the part of a module's name right below the package: what rooms are made of."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def _dotted(node: ast.AST) -> str:
    """Return ``xp.fft.fftfreq`` for such an expression, nothing for any other."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _calls(module: Module) -> Iterator[ast.Call]:
    return (n for n in ast.walk(module.tree) if isinstance(n, ast.Call))


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: Module) -> Iterator[Function]:
    return (n for n in ast.walk(module.tree) if isinstance(n, Function))


def _function_around(node: ast.AST) -> Function | None:
    while (node := getattr(node, "parent", None)) is not None:
        if isinstance(node, Function):
            return node
    return None


def _is_bare_string(node: ast.AST) -> bool:
    """Tell whether a statement is a docstring, of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _for_type_checkers_only(node: ast.AST) -> bool:
    while (node := getattr(node, "parent", None)) is not None:
        if isinstance(node, ast.If) and _dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return True
    return False


def _imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield the absolute dotted names that a module imports, ``from a import b`` as ``a.b``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.name.split(".")
                kept = parts[: len(parts) - node.level + module.is_package]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)


# --- one border, floors -----------------------------------------------------------------------------------------------


def libraries(module: Module) -> Iterator[Violation]:
    """Array libraries are imported at the border only, FITS, plots and command lines on the top floor only."""
    for node, name in _imports(module):
        library = name.partition(".")[0]
        if library in ARRAY_LIBRARIES and module.name != BORDER:
            yield module.violation(node, f"imports {library}: only {BORDER} may")
        if library in UPPER_FLOOR_LIBRARIES and module.floor < 4:
            yield module.violation(node, f"imports {library} on floor {module.floor}")
        if library == "numpy" and module.is_algorithm and module.name not in HOST_CONSTANTS:
            yield module.violation(node, f"imports numpy on floor {module.floor}")


def floors(module: Module) -> Iterator[Violation]:
    """A module imports from lower floors and from its own room; imports by name are left to the package itself."""
    room = module.room
    if room is None:
        yield module.violation(1, "is in no room: give it one in the table of rooms")
        return
    for node, name in _imports(module):
        if name.partition(".")[0] != PACKAGE or (room.name == "package" and _for_type_checkers_only(node)):
            continue
        # a name below the package that is no module is something the package itself re-exports
        target = _ROOM_OF.get(_below(name), _ROOM_OF[""])
        if target is not room and target.floor >= room.floor and target.name not in room.also:
            yield module.violation(node, f"on floor {room.floor} imports {name} of floor {target.floor}")
    for call in _calls(module):
        if _dotted(call.func) in ("__import__", "importlib.import_module", "import_module") and (
            room.floor < 4 and room.name != "package"
        ):
            yield module.violation(call, "imports by name")


_NAMING = {
    ast.Name: "id",
    ast.Attribute: "attr",
    ast.arg: "arg",
    ast.FunctionDef: "name",
    ast.ClassDef: "name",
    ast.Constant: "value",
}


def libraries_by_name(module: Module) -> Iterator[Violation]:
    """No branch on the array library: its name stands nowhere but at the border, in docstrings and comments."""
    if module.name == BORDER:
        return
    for node in ast.walk(module.tree):
        text = next((getattr(node, f) for kind, f in _NAMING.items() if isinstance(node, kind)), "")
        if isinstance(text, str) and _LIBRARY_NAMES.search(text) and not _is_bare_string(getattr(node, "parent", node)):
            yield module.violation(node, f"names an array library: {text!r}")


def no_global_state(module: Module) -> Iterator[Violation]:
    """No mutable global and no environment variable chooses what an algorithm does."""
    if module.floor > 3:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield module.violation(node, f"global {', '.join(node.names)}")
        elif isinstance(node, ast.Attribute) and _dotted(node) in ("os.environ", "os.getenv"):
            yield module.violation(node, f"reads {_dotted(node)}")


def namespace_passed_in(module: Module) -> Iterator[Violation]:
    """Inner functions take `xp` as a required keyword; public ones infer it, once, and do not take it."""
    for function in _functions(module):
        yield from _signature_with_xp(module, function)
    if module.floor not in (1, 2, 3):
        return
    inferred: dict[Function | None, int] = {}
    for call in _calls(module):
        if _dotted(call.func).endswith("__array_namespace__"):
            yield module.violation(call, "infers the namespace past the border")
        if _dotted(call.func).rpartition(".")[2] != "array_namespace":
            continue
        function = _function_around(call)
        inferred = {**inferred, function: inferred.get(function, 0) + 1}
        if function is None or function.name.startswith("_") or not _is_public(module) or "xp" in _arguments(function):
            yield module.violation(call, "array_namespace in an inner function: take `xp` instead")
        elif inferred[function] > 1:
            yield module.violation(call, f"`{function.name}` infers the namespace twice")
    yield from _xp_from_nowhere(module, set(inferred))


def _is_public(module: Module) -> bool:
    return not any(part.startswith("_") for part in module.name.split(".")[1:])


def _arguments(function: Function) -> set[str]:
    arguments = function.args
    return {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


def _signature_with_xp(module: Module, function: Function) -> Iterator[Violation]:
    arguments = function.args
    keywords = {a.arg: default for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)}
    if keywords.get("xp") is not None:
        yield module.violation(function, f"`{function.name}` has a default for `xp`")
    elif "xp" in _arguments(function) - set(keywords):
        yield module.violation(function, f"`{function.name}` takes `xp` by position")


def _xp_from_nowhere(module: Module, inferring: set[Function | None]) -> Iterator[Violation]:
    """Yield the uses of `xp` in functions that neither take nor infer it, nor lie in one that does."""
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Name) and node.id == "xp" and isinstance(node.ctx, ast.Load)):
            continue
        function = _function_around(node)
        while function is not None and not ("xp" in _arguments(function) or function in inferring):
            function = _function_around(function)
        if function is None:
            yield module.violation(node, "uses `xp` where it is neither taken as a keyword nor inferred")


# --- no orphan arrays -------------------------------------------------------------------------------------------------


def creation_names_dtype_and_device(module: Module) -> Iterator[Violation]:
    """Every creation call on `xp` names `dtype=` and `device=`; the ``*_like`` functions inherit both."""
    for node in ast.walk(module.tree):
        root, _, function = _dotted(node).partition(".")
        if root != "xp" or function not in CREATION:
            continue
        if not (isinstance(node.parent, ast.Call) and node.parent.func is node):
            yield module.violation(node, f"xp.{function} under another name")
            continue
        missing = [k for k in ("dtype", "device") if k not in {keyword.arg for keyword in node.parent.keywords}]
        if missing:
            yield module.violation(node, f"xp.{function} without {' and '.join(f'`{k}=`' for k in missing)}")


# --- no hidden syncs --------------------------------------------------------------------------------------------------


def no_host_reads(module: Module) -> Iterator[Violation]:
    """Floors 1 and 2 do not bring values of arrays to the host."""
    if not module.is_algorithm:
        return
    for call in _calls(module):
        name = _dotted(call.func)
        root, _, function = name.partition(".")
        if name in READ_CALLS:
            yield module.violation(call, f"{name}() reads a value")
        elif isinstance(call.func, ast.Attribute) and call.func.attr in READ_METHODS:
            if module.name not in HOST_CONSTANTS:
                yield module.violation(call, f".{call.func.attr}() reads values")
        elif root in ("np", "numpy") and function in ("array", "asarray", "asanyarray", "ascontiguousarray"):
            yield module.violation(call, f"{name}() copies to the host")
        elif root == "xp" and function in READ_FUNCTIONS:
            yield module.violation(call, f"{name}() waits for values")


# --- pure -------------------------------------------------------------------------------------------------------------


def no_writes(module: Module) -> Iterator[Violation]:
    """Floors 1 and 2 do not write into anything: no ``x[...] =``, no ``x[...] +=``, no ``x +=``, no ``out=``."""
    if not module.is_algorithm:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield module.violation(node, f"writes into {ast.unparse(node)}")
        elif isinstance(node, ast.AugAssign) and not isinstance(node.target, ast.Subscript):
            # NumPy does `x += y` in place
            yield module.violation(node, f"in-place {ast.unparse(node)}")
        elif isinstance(node, ast.keyword) and node.arg == "out":
            yield module.violation(node.value, "writes to `out=`")


def no_array_attributes(module: Module) -> Iterator[Violation]:
    """Floors 1 and 2 use ``xp.real(x)``, not ``x.real``: the attributes are views on one library, copies on another."""
    if not module.is_algorithm:
        return
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ARRAY_ATTRIBUTES
            and _dotted(node.value) not in ("xp", "np")
        ):
            yield module.violation(node, f"attribute .{node.attr}")


def no_mask_indexing(module: Module) -> Iterator[Violation]:
    """Floors 1 and 2 do not index by a mask: by a comparison, or by a name that was assigned one."""
    if not module.is_algorithm:
        return
    masks = {
        (_function_around(node), target.id)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign) and _is_mask(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Subscript):
            continue
        for index in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            named = isinstance(index, ast.Name) and (_function_around(node), index.id) in masks
            if named or _is_mask(index):
                yield module.violation(node, f"indexes by the mask {ast.unparse(index)}")


def _is_mask(node: ast.AST) -> bool:
    """Tell whether an expression is made of comparisons, tests and the operators on masks."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Invert)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor)) and (
            _is_mask(node.left) or _is_mask(node.right)
        )
    if isinstance(node, ast.Call):
        root, _, function = _dotted(node.func).partition(".")
        return root == "xp" and function in MASK_FUNCTIONS
    return isinstance(node, ast.Compare)


# --- names and sizes --------------------------------------------------------------------------------------------------


def all_is_complete(module: Module) -> Iterator[Violation]:
    """`__all__` lists every public name that the module defines, and nothing that it does not have."""
    if module.name.endswith(".__main__"):
        return  # it runs, nothing imports it
    listed = _listed(module)
    if listed is None:
        yield module.violation(1, "has no `__all__`, or one that is not a list of strings")
        return
    defined = _defined(module.tree)
    imported = {
        (a.asname or a.name).partition(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and _function_around(node) is None
        for a in node.names
    }
    # a package may make names, submodules among them, on request: a test that imports it sees to those
    if "__getattr__" not in defined:
        for name in sorted(set(listed) - defined - imported):
            yield module.violation(1, f"`__all__` lists {name}, which does not exist")
    for name in sorted(n for n in defined - set(listed) if not n.startswith("_")):
        yield module.violation(1, f"`__all__` does not list {name}")
    if len(set(listed)) < len(listed):
        yield module.violation(1, "`__all__` lists a name twice")


def _listed(module: Module) -> list[str] | None:
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            continue
        if not isinstance(node.value, (ast.List, ast.Tuple)):
            return None
        names = [e.value for e in node.value.elts if isinstance(e, ast.Constant)]
        return names if len(names) == len(node.value.elts) and all(isinstance(n, str) for n in names) else None
    return None


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines itself, at its top level."""
    names = set()
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names - {"__all__"}


def sizes(module: Module) -> Iterator[Violation]:
    """A module has at most 300 lines, a function 40 of code: without signature, docstring, comments, blank lines."""
    total = len(module.source.splitlines())
    if total > MAX_MODULE_LINES:
        yield module.violation(total, f"has {total} lines, at most {MAX_MODULE_LINES} allowed")
    code = _code_lines(module)
    for function in _functions(module):
        count = len(code & set(range(function.body[0].lineno, function.end_lineno + 1)))
        if count > MAX_FUNCTION_LINES:
            yield module.violation(
                function, f"`{function.name}` has {count} lines of code, at most {MAX_FUNCTION_LINES} allowed"
            )


_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def _code_lines(module: Module) -> set[int]:
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type not in _NOT_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(module.tree):
        if _is_bare_string(node):
            code.difference_update(range(node.lineno, node.end_lineno + 1))
    return code


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        libraries,
        floors,
        libraries_by_name,
        no_global_state,
        namespace_passed_in,
        creation_names_dtype_and_device,
        no_host_reads,
        no_writes,
        no_array_attributes,
        no_mask_indexing,
        all_is_complete,
        sizes,
    )
}
