"""Scoring whole collections, as their published tables have them."""
