"""The process that holds vLLM. It reads a JSON line a request and writes JSON lines of answers.

It runs under whatever interpreter has vLLM, where this package need not be installed: it imports the
standard library and vLLM, nothing else. `vllm.py` beside it starts it and says what goes over the pipes:

    in   {"llm": {...}, "template": {...},         once: arguments of LLM and of the chat template,
          "processors": [0, 1]}                    and the processors to keep to; none: all
         {"number": 7, "messages": [...], "schema": {...} | null, "sampling": {...},
          "tokens": 48, "alternatives": 20}        the last two where log-probabilities are wanted
    out  {"ready": 32768}                          the context length, once the model is loaded
         {"unusable": "..."}                       instead, where vLLM is missing or too old
         {"answers": [{"number": 7, "text": ..., "error": ..., ...}, ...]}     empty: still at work
              with "shared": 96, tokens of the prompt that were computed before for another; and with
              "tokens": [[text, logprob, [[text, logprob], ...]], ...], the answer's last ones, where wanted
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

#: Seconds of silence after which the worker says that it is still at work.
SIGN_OF_LIFE = 5.0

#: What the watchman does, whom nobody's polite request ends: where the worker is gone, end what is left of its group.
_WATCH = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = int(sys.argv[1])
while os.getppid() == worker:
    time.sleep(0.5)
os.killpg(worker, signal.SIGKILL)
"""


def main() -> None:
    """Load the model, then answer until the input ends."""
    lines, out = _take_pipes()
    _be_watched()
    # Beside this file lie modules named like their libraries (`vllm.py`), and Python put their folder first.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]

    def say(**what: Any) -> None:
        out.write(json.dumps(what) + "\n")
        out.flush()

    setup = json.loads(lines.readline())
    if setup["processors"]:
        os.sched_setaffinity(0, setup["processors"])
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines, inbox), daemon=True).start()
    try:
        from vllm import LLM
    except ModuleNotFoundError as problem:
        return say(unusable=f"{problem}. Install vLLM there, or name an interpreter that has it")
    if not hasattr(LLM, "enqueue_chat"):
        return say(unusable="its vLLM is too old. Install 0.32 or newer there, or name an interpreter that has it")
    llm = LLM(**setup["llm"])
    say(ready=llm.llm_engine.model_config.max_model_len)
    _Desk(llm, setup["template"], say).serve(inbox)


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep standard input and output for the protocol, away from vLLM and its children, which print."""
    lines, out = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return lines, out


def _be_watched() -> None:
    """Have vLLM's processes go with this one, or they would keep the GPU's memory, however it ends.

    Ray, when it ends an actor, kills the actor's own children first, and nothing more is run here.
    """
    if os.getpgrp() == os.getpid():
        subprocess.Popen([sys.executable, "-IS", "-c", _WATCH, str(os.getpid())], stdin=subprocess.DEVNULL)


def _read(lines: TextIO, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in lines:
        inbox.put(json.loads(line))
    # The parent closed the pipe or died. vLLM's own processes go too.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


class _Desk:
    """Takes requests in, and hands out each answer when it is finished."""

    def __init__(self, llm: Any, template: dict[str, Any], say: Any) -> None:
        self.llm, self.engine, self.template, self.say = llm, llm.llm_engine, template, say
        self.tokenizer = llm.get_tokenizer()
        self.room = self.engine.model_config.max_model_len
        self.numbers: dict[str, int] = {}
        self.tails: dict[int, int] = {}  # how many tokens a request wants to see

    def serve(self, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
        said = time.monotonic()
        while True:
            # Waits for a request only when the engine has none.
            while not inbox.empty() or not self.engine.has_unfinished_requests():
                if refusal := self.take(inbox.get()):
                    self.say(answers=[refusal])
            answers = [self.answer(output) for output in self.engine.step() if output.finished]
            if answers or time.monotonic() - said > SIGN_OF_LIFE:
                self.say(answers=answers)
                said = time.monotonic()

    def take(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Hand a request to the engine, or return why it cannot be asked: one bad request is one bad row."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams
        from vllm.v1.engine.exceptions import EngineDeadError

        number, messages, schema = request["number"], request["messages"], request["schema"]
        try:
            settings = {"max_tokens": None, **request["sampling"]}
            tokens, answer = self.count(messages), settings["max_tokens"] or 1
            if tokens + answer > self.room:
                detail = f"{tokens} tokens and an answer of up to {answer} do not fit into {self.room}"
                return {"number": number, "error": "context_length", "detail": detail, "asked": 0}
            if tail := request.get("tokens"):
                settings["logprobs"] = request["alternatives"]
            if "structured_outputs" in settings:
                settings["structured_outputs"] = StructuredOutputsParams(**settings["structured_outputs"])
            if schema:
                settings["structured_outputs"] = StructuredOutputsParams(json=schema)
            (name,) = self.llm.enqueue_chat(
                [messages], SamplingParams(**settings), use_tqdm=False, chat_template_kwargs=self.template
            )
        except EngineDeadError:
            raise
        except Exception as problem:
            detail = f"{type(problem).__name__}: {problem}"
            return {"number": number, "error": "server", "detail": detail, "asked": 0}
        self.numbers[_plain(name)] = number
        if tail:
            self.tails[number] = tail
        return None

    def count(self, messages: list[dict[str, str]]) -> int:
        """Return how many tokens the messages are with the chat template around them."""
        encoded = self.tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, **self.template
        )
        return len(encoded["input_ids"] if hasattr(encoded, "keys") else encoded)

    def answer(self, output: Any) -> dict[str, Any]:
        choice = output.outputs[0]
        answer = {
            "number": self.numbers.pop(_plain(output.request_id)),
            "text": choice.text,
            "prompt_tokens": len(output.prompt_token_ids),
            "shared": output.num_cached_tokens or 0,
            "completion_tokens": len(choice.token_ids),
        }
        if choice.finish_reason == "length":
            answer |= {"error": "truncated", "detail": "the answer reached max_tokens or the context length"}
        elif choice.finish_reason != "stop":
            answer |= {"error": "server", "detail": f"vLLM gave it up ({choice.finish_reason})"}
        elif not choice.text:
            answer |= {"error": "unparsed", "detail": "the answer is empty"}
        if tail := self.tails.pop(answer["number"], 0):
            answer["tokens"] = _tokens(choice, tail)
        return answer


def _tokens(choice: Any, tail: int) -> list[Any]:
    """Return the last tokens of an answer, each with those that might have stood in its place."""
    tokens = []
    for token, listed in list(zip(choice.token_ids, choice.logprobs or (), strict=False))[-tail:]:
        others = [[other.decoded_token or "", max(other.logprob, -9999.0)] for other in listed.values()]
        drawn = listed[token]
        tokens.append([drawn.decoded_token or "", max(drawn.logprob, -9999.0), others])
    return tokens


def _plain(name: str) -> str:
    # vLLM hands out the name with a random ending and reports the answer without.
    return name.partition("-")[0]


if __name__ == "__main__":
    main()
