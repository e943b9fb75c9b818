"""The ledger: what the paper reports beside what a study found, and what follows from the paper's numbers alone."""
