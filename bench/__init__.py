"""Benchmarks: real servers, seeded workloads, figures as ratios within one run."""
