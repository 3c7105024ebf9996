"""Private servers for tests and benchmarks: on the loopback, on free ports, gone with whoever started them."""
