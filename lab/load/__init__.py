"""Loads: scripts that run inside machines for a window of time and print one JSON object.

Each is started by its path and imports nothing of the package, so that it starts at once. It prints "ready"
and reads its window from standard input: "START END", two readings of the monotonic clock. All namespaces
share that clock, so both ends of a load and the reader of the daemons' counters use the same window. Traffic
before the window is warm-up.
"""
