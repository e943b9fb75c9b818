"""Recenter: audit LLM personalization against people, stage by stage."""

import warnings

from tqdm import TqdmWarning

# Our bars are plain text wherever they run; that a notebook lacks widgets for others is no news to its reader.
warnings.filterwarnings("ignore", message="IProgress not found", category=TqdmWarning)

__version__ = "0.1.0"
