"""What follows from the paper's numbers alone, by the functions that a study is computed with."""
