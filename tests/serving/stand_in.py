"""A stand-in for the vLLM package that fails on demand: the tests of the engine's process management use it.

It is the source of a package, not a package: `write` puts it where a test's worker will find it.
What a request says decides what happens: `die`, `hang`, `where` (the GPUs and processors that it is shown), or an
answer that repeats it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = """
import os, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace

class SamplingParams(SimpleNamespace):
    pass

class LLM:
    def __init__(self, model, max_model_len=1000):
        print("vLLM prints on standard output,", '{"answers": []}')
        child = subprocess.Popen(["sleep", "600"])
        with Path(model).open("a") as loads:
            loads.write(f"{os.getpid()} {child.pid}\\n")
        if max_model_len == 13:
            raise ValueError("the weights are broken")
        self.llm_engine, self.waiting, self.asked = self, [], 0
        self.listed = set()
        self.model_config = SimpleNamespace(max_model_len=max_model_len)

    def get_tokenizer(self):
        return self

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        return list(messages[-1]["content"])

    def enqueue_chat(self, conversations, params, use_tqdm, chat_template_kwargs):
        (messages,) = conversations
        self.asked += 1
        self.waiting.append((str(self.asked), messages[-1]["content"]))
        if getattr(params, "logprobs", None) == 20:
            self.listed.add(str(self.asked))
        return [f"{self.asked}-random"]

    def has_unfinished_requests(self):
        return bool(self.waiting)

    def step(self):
        name, text = self.waiting.pop(0)
        if text.startswith("die"):
            token = os.environ.get("HF_TOKEN")
            print(f"(EngineCore pid=1) ERROR [core.py:1] MemoryError: no room; {token}", file=sys.stderr, flush=True)
            os._exit(3)
        if text.startswith("hang"):
            time.sleep(600)
        choice = SimpleNamespace(text=text, token_ids=[1], finish_reason="stop", logprobs=None)
        if text.startswith("judge") and name in self.listed:
            choice.text, choice.token_ids = "So.\\nAnswer: YES", [1, 2]
            drawn, other = SimpleNamespace(decoded_token=" YES", logprob=-0.25), float("-inf")
            listed = {2: drawn, 3: SimpleNamespace(decoded_token=" NO", logprob=-1.5)}
            listed[4] = SimpleNamespace(decoded_token=None, logprob=other)
            choice.logprobs = [{1: SimpleNamespace(decoded_token="So.\\nAnswer:", logprob=0.0)}, listed]
        if text.startswith("where"):
            choice.text = f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {sorted(os.sched_getaffinity(0))}"
        done = SimpleNamespace(request_id=name, finished=True, outputs=[choice])
        done.prompt_token_ids, done.num_cached_tokens = [1, 2, 3, 4], 1
        return [done]
"""


def write(folder: Path) -> None:
    """Write the package into `folder`, which then goes on PYTHONPATH."""
    files = {
        "vllm/__init__.py": _PACKAGE,
        "vllm/sampling_params.py": "class StructuredOutputsParams:\n    def __init__(self, json): pass\n",
        "vllm/v1/__init__.py": "",
        "vllm/v1/engine/__init__.py": "",
        "vllm/v1/engine/exceptions.py": "class EngineDeadError(Exception): pass\n",
    }
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
