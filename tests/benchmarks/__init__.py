"""Heavy parts, each beside the tool that a user would pick instead and beside its physical limit.

`python -m tests.benchmarks` measures all of them into one table. A part is a module here with `PART` (its name),
`UNIT` (what its sizes count), `SIZES` (three of each kind, so that growth shows) and `measure(size)`, which returns a
`Row`. Each also runs alone, at any size: `python -m tests.benchmarks.merging --users 16573`. `vllm_use`, which needs
vLLM's own environment, stands by itself.
"""
