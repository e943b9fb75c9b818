"""Notebooks as jobs of a cluster's scheduler: SLURM and Kubernetes."""
