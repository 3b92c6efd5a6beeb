"""What a tunnel says of itself: events as JSON lines."""
