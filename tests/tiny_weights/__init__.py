"""Random weights under the published names and in the published layout, in seconds and a few megabytes: what an encoder
makes is as wide as published, everything else is tiny."""
