"""Events as JSON lines, and pcapng files."""
