"""Who may import whom (docs/design.md), read from the source; each rule is shown to catch a breach."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tunejury_jax", "feature_export", "trainers", "benchmarks")
OUTSIDE_CORE = ("tunejury_jax.bridge", "tunejury_jax.applications", "tunejury_jax.cli")

# Layer -> what it may import of this project, and whether it may import torch.
ALLOWED = {
    "core": ({"core"}, False),
    "bridge": ({"core", "bridge"}, True),
    "export": ({"core", "export"}, True),
    "trainers": ({"core", "trainers"}, False),
    "applications": ({"core", "bridge", "export", "applications"}, True),
    "cli": ({"core", "bridge", "export", "applications", "cli"}, True),
    "benchmarks": ({"core", "bridge", "export", "trainers", "applications", "benchmarks"}, True),
}
TORCH_SIDE = ("torch", "torchaudio", "torchvision", "transformers", "soundfile", "av", "laion_clap", "muq")
NEVER = ("torchaudio", "torchvision", "librosa", "pickle", "dill", "joblib")


def layer(module: str) -> str:
    if module.startswith(OUTSIDE_CORE):
        return module.split(".")[1]
    return {"tunejury_jax": "core", "feature_export": "export"}.get(module.split(".")[0], module.split(".")[0])


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def breaches(module: str, source: str) -> list[str]:
    """What a module imports and should not."""
    layers, torch = ALLOWED[layer(module)]
    found = []
    for name in imported(ast.parse(source)):
        top = name.split(".")[0]
        relative = name.startswith(".")
        foreign = top in PACKAGES and layer(name) not in layers
        if relative or foreign or top in NEVER or (top in TORCH_SIDE and not torch):
            found.append(f"{module} imports {name}")
    return found


def modules() -> list[tuple[str, Path]]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path) for path in files]


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_its_layer_may(module: str, path: Path) -> None:
    assert breaches(module, path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tunejury_jax.head", "import trainers.fit"),
        ("tunejury_jax.scorer", "from feature_export.encoders import Stack"),
        ("tunejury_jax.scorer", "def f():\n    import torch"),
        ("tunejury_jax.store.plan", "from tunejury_jax.bridge.autograd import Reward"),
        ("tunejury_jax.metrics", "import tunejury_jax.cli"),
        ("trainers.fit", "import feature_export"),
        ("trainers.fit", "import torch.nn"),
        ("feature_export.export", "from trainers.data import gather"),
        ("feature_export.audio", "import torchaudio"),
        ("tunejury_jax.bridge.weights", "from tunejury_jax.applications import ditto"),
        ("tunejury_jax.applications.ditto.optimisation", "import trainers"),
        ("feature_export.audio", "from . import decode"),
        ("trainers.data", "import pickle"),
    ],
)
def test_a_breach_is_caught(module: str, source: str) -> None:
    assert breaches(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("trainers.fit", "from tunejury_jax.head import Head"),
        ("feature_export.export", "import torch\nfrom tunejury_jax.store import plan_store"),
        ("tunejury_jax.applications.ditto.optimisation", "from tunejury_jax.bridge.autograd import Reward"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    assert breaches(module, source) == []


def test_the_top_level_is_the_agreed_one() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(PACKAGES)


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
import importlib
for module in {modules}:
    importlib.import_module(module)
"""


def _without_torch(names: list[str]) -> subprocess.CompletedProcess[str]:
    code = NO_TORCH.format(blocked=set(TORCH_SIDE), modules=names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


def test_core_and_trainers_import_without_torch() -> None:
    names = [module for module, _ in modules() if layer(module) in ("core", "trainers", "cli")]
    done = _without_torch(names)
    assert done.returncode == 0, done.stderr


def test_the_absence_of_torch_is_noticed() -> None:
    assert "No module named 'torch'" in _without_torch(["feature_export.resample"]).stderr
