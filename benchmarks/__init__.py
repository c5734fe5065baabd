"""The numbers that this project promises, each measured against its baseline: `python -m benchmarks`."""
