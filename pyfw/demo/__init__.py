"""Two daemons in network namespaces, the traffic between them, and what they counted: `pyfw demo`."""
