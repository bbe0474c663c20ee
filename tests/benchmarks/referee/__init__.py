"""Tools that check gradients, run themselves on the same functions and claims: ``python -m tests.benchmarks.referee``."""
