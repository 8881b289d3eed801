"""What is done with a reward model; only the command line imports these."""
