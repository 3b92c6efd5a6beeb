"""Loads: scripts that run inside the lab's machines for a window of time and print one JSON object.

Each is started by its path, with nothing of the package imported: it has to start at once. It says "ready",
and then is told its window on standard input, "START END": two readings of the monotonic clock, which all
namespaces share, so that both ends of a load and who watches the daemons mean the same time. What a load
does before its window is warming up.
"""
