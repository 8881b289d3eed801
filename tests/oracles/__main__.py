"""Writes golden files: `python -m tests.oracles clap mauve mert muq`, by the reference environment's Python."""

import argparse
import importlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.oracles import record, reference_environment

GENERATORS = ("clap", "mauve", "mert", "muq", "stable_audio_small")
GOLDEN = Path(__file__).parents[1] / "golden"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(GENERATORS), help="which to write; all by default")
    parser.add_argument("--out", type=Path, default=GOLDEN)
    options = parser.parse_args()
    unknown = set(options.names) - set(GENERATORS)
    if unknown:
        parser.error(f"got {sorted(unknown)}, accepted are {list(GENERATORS)}")
    reference_environment.activate()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or GENERATORS:
        _write(name, options.out)


def _write(name: str, out: Path) -> None:
    with TemporaryDirectory() as folder:
        importlib.import_module(f"tests.oracles.{name}").main(Path(folder))
        for golden in sorted(Path(folder).glob("*.npz")):
            record.stamp(golden, name)
            shutil.copyfile(golden, out / golden.name)
            print(out / golden.name)


if __name__ == "__main__":
    main()
