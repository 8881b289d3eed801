"""Builds the reference environment: `python3 -m tests.oracles.build --venv DIR [--mert-code DIR]`.

Needs a package index, and either the network or a checkout of the MERT repository for its three modelling files, which
are checked against their digests and stay in the environment. The marker `DIR/.ready` is written last.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

__all__ = ["build"]

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "reference.txt"

MERT_COMMIT = "391062e4c384aaad4e5a992be339ef70769dbd6f"
MERT_URL = f"https://raw.githubusercontent.com/yizhilll/MERT/{MERT_COMMIT}"
MERT_FILES = {
    "scripts/mert_hf/modeling_MERT.py": "43c8a04bf6580dac2d30ba7d5cb5f71e146ed93d83fb0952c1c288d81c92f6c4",
    "scripts/mert_hf/configuration_MERT.py": "e5954aa92e4fe9f9221e251fb1ad92ca5cd91a19e72a559373035bb00d4a294f",
    "scripts/hf_config/mert_large.json": "e4f54cd825bb6044cbda4542b3bbf55bd0b12c3f82f76dfddee3dff0bd558955",
}
MAX_BYTES = 1 << 20


def build(environment: Path, mert_code: Path | None) -> None:
    """Creates or completes the environment.

    Args:
        environment: Its folder.
        mert_code: A checkout of the MERT repository; None downloads the files.

    Raises:
        ValueError: A file of MERT is not there or not the one that is expected.
    """
    ready = environment / ".ready"
    ready.unlink(missing_ok=True)
    if not (environment / "bin" / "python").exists():
        venv.create(environment, with_pip=True)
    _install(environment)
    site = next(environment.glob("lib/python*/site-packages"))
    _mend(site)
    _add_mert(site / "published_mert", mert_code)
    _python(environment, "-m", "tests.oracles.hub_cache", str(environment / "hub_cache"))
    _python(environment, "-m", "tests.oracles.reference_environment")
    ready.touch()


def _install(environment: Path) -> None:
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # torch alone with its dependencies: its CUDA builds need libraries that a CPU build does not.
    _python(environment, *pip, "--constraint", str(REQUIREMENTS), "torch")
    _python(environment, *pip, "--no-deps", "--requirement", str(REQUIREMENTS))


def _mend(site: Path) -> None:
    """Takes out what keeps the packages from working beside a CPU torch and beside this project."""
    # Built for CUDA. Where they are absent, torchaudio turns its extension off and does the rest in torch.
    for library in (site / "torchaudio" / "lib").glob("*.so"):
        library.unlink()
    # laion-clap installs a package called `tests`, which would be found before this one.
    shutil.rmtree(site / "tests", ignore_errors=True)


def _add_mert(package: Path, mert_code: Path | None) -> None:
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    for path, digest in MERT_FILES.items():
        content = _downloaded(path) if mert_code is None else _read(mert_code / path)
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise ValueError(f"{path}: expected the file of commit {MERT_COMMIT}, {digest}, got {found}")
        (package / Path(path).name).write_bytes(content)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"--mert-code: {path} is not there; expected a checkout of github.com/yizhilll/MERT")
    return path.read_bytes()


def _downloaded(path: str) -> bytes:
    with urllib.request.urlopen(f"{MERT_URL}/{path}", timeout=60) as response:
        return response.read(MAX_BYTES)


def _python(environment: Path, *arguments: str) -> None:
    isolated = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([environment.resolve() / "bin" / "python", *arguments], cwd=ROOT, env=isolated, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m tests.oracles.build", description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--mert-code", type=Path, help="checkout of github.com/yizhilll/MERT; without it, downloads")
    options = parser.parse_args()
    try:
        build(options.venv, options.mert_code)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"reference environment: {error}")


if __name__ == "__main__":
    main()
