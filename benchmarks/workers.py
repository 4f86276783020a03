"""One process for each route to a work, asked by lines of JSON; see peers/serving.py for the other end."""

import json
import os
import pathlib
import subprocess
from typing import Any, Self

from benchmarks.environments import FOLDER, ROOT, python_of

PEERS = pathlib.Path(__file__).parent / "peers"


class WorkerError(Exception):
    """A route that failed; the message is its own error, in one line."""


class Worker:
    """A peer's process. Use as a context; its messages to standard error go to build/bench/<script>.log."""

    def __init__(self, environment: str, script: str, arguments: tuple[str, ...] = ()) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.log = (FOLDER / f"{script}.log").open("a")
        self.process = subprocess.Popen(
            [python_of(environment), str(PEERS / f"{script}.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} if environment == "project" else None,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one request; raises `WorkerError` where the route failed or the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it says last, or that it ended, is read below
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"its process ended with code {self.process.wait(60)}, see {self.log.name}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(30)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.log.close()
