"""Tools that check gradients, run themselves on the same functions and the same claims: ``python -m tests.benchmarks.referee``."""
