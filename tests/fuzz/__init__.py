"""Whatever bytes come in, a reader gives rows and problems, or one sentence; the same promises for every way of asking.

`targets` holds the promises, `seeds` inputs to begin with. Hypothesis asks in the suite (`test_fuzz`), atheris for as
long as one likes (`make fuzz`).
"""
