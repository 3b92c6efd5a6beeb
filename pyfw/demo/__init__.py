"""The parts of `pyfw demo`: network namespaces, two daemons, traffic between them, and their counters."""
