"""The worker's side of a fail-safe session."""
