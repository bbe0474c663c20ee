"""Slow trials of what must survive anything: ``python -m tests.trials``."""
