"""The best of N clips of a prompt, and what selecting costs."""
