"""The program's source files as syntax trees, for the tests of its structure."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("app", "engine", "render", "worker")


def sources(*packages: str) -> list[Path]:
    """Every Python file of `packages`, sorted."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def program() -> list[Path]:
    """Every Python file of the program, without the tests."""
    return [*sources(*PACKAGES), ROOT / "launch.py"]


@cache
def parse(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    """The path as people write it: worker/protocol.py."""
    return path.relative_to(ROOT).as_posix()


def imports(node: ast.AST, *, lazily: bool = True) -> Iterator[str]:
    """Full dotted names that `node` imports; without those in functions and for type checking where not `lazily`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif lazily or not (isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(child)):
            yield from imports(child, lazily=lazily)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")


def dotted(node: ast.expr) -> str:
    """`torch.load` for the expression torch.load; `?.load` where it starts with anything but a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"
