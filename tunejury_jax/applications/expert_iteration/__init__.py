"""Expert iteration: a generator that learns from its own best clips."""
