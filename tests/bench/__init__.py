"""What things cost, measured against the limits we promise: ``python -m tests.bench --list``."""
