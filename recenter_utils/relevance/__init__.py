"""Stage 2: which attributes matter for a new request, to people and to machines (§5)."""
