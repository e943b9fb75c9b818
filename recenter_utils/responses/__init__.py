"""Stage 3: responses, which of them raters prefer, and what mentioning an attribute does to that."""
