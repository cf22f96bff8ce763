"""The shape of the sources and of their tests."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("appliance", "guest_stub")
TESTS = ROOT / "tests" / "unit"

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[Path]:
    """Every module of the product, relative to the root."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT)


def suite() -> Iterator[Path]:
    """Every file of the tests, relative to the root."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        yield path.relative_to(ROOT)


def mirrors() -> Iterator[Path]:
    """Every test file that stands for a module, relative to tests/unit."""
    for package in PACKAGES:
        for path in sorted((TESTS / package).rglob("test_*.py")):
            yield path.relative_to(TESTS)


def mirror(module: Path) -> Path:
    """The test file of a module: appliance/scanning/spool.py has appliance/scanning/test_spool.py.

    The underscores around a name fall away: guest_stub/__main__.py has guest_stub/test_main.py.
    """
    return module.parent / f"test_{module.stem.strip('_')}.py"


def functions(path: Path) -> Iterator[Function]:
    """Every function and method in a file, nested ones too."""
    for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
        if isinstance(node, Function):
            yield node


def does_something(function: Function) -> bool:
    """Whether a function is more than the promise of one, as the methods of a Protocol are."""
    return not all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body
    )


def test_every_module_with_code_has_its_test_file() -> None:
    """A module whose functions do something is tested by the file of the same name in the same place."""
    orphans = [
        str(path)
        for path in modules()
        if any(map(does_something, functions(path))) and not (TESTS / mirror(path)).exists()
    ]
    assert orphans == []


def test_every_test_file_has_its_module() -> None:
    """A test file under tests/unit stands for a module that exists."""
    known = {mirror(path) for path in modules()}
    strays = [str(path) for path in mirrors() if path not in known]
    assert strays == []


def test_an_install_has_every_file_that_is_no_module() -> None:
    """Settings, units, rules, locks: what pyproject.toml does not name is in a checkout and nowhere else."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        taken = {path for pattern in named[package] for path in (ROOT / package).glob(pattern)}
        files = {path for path in (ROOT / package).rglob("*") if path.is_file()}
        left = {path for path in files - taken if path.suffix not in {".py", ".pyc"}}
        assert {str(path.relative_to(ROOT)) for path in left if path.name != "py.typed"} == set()


def test_modules_stay_short() -> None:
    """No module of the product is longer than 400 lines."""
    lengths = {str(path): (ROOT / path).read_bytes().count(b"\n") for path in modules()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_stay_short() -> None:
    """No function, of the product or of its tests, is longer than 60 lines."""
    long = [
        f"{path}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in [*modules(), *suite()]
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_every_test_says_what_it_shows() -> None:
    """Each test function has a docstring, so that a failing test reads as a sentence."""
    mute = [
        f"{path}:{node.lineno} {node.name}"
        for path in suite()
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert mute == []


def test_every_package_is_a_map() -> None:
    """The docstring of each package says what stands in it."""
    mute = [
        str(path)
        for path in modules()
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse((ROOT / path).read_bytes()))
    ]
    assert mute == []
