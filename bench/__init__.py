"""Benchmarks, and scenarios that show how the service behaves. docs/benchmarks.md says what each measures."""
