"""What is measured and what it must reach: ``python -m tests.benchmarks``."""
