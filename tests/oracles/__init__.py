"""Generators of tests/golden: run by the reference environment only, which has the original packages (docs/oracles.md).

Each generator is a module with `main(out: Path)`, which writes its files into `out`. The project's tests import none
of them: they read the golden files.
"""
