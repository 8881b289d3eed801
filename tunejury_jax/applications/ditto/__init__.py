"""Noise optimisation: clips of a higher reward from a frozen generator."""
