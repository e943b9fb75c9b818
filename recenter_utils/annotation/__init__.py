"""The judging app, and what people answered in it: pages, assignment, store, screens, judgments."""
