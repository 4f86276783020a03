"""What every worker speaks: one JSON object a line, from standard input to standard output; all else goes to stderr.

A worker is one process that holds one route to one work at a time. It is asked to prepare it from arrays in a .npz
file, to compute once and store the result, to time one repetition, to say how much memory it needed, and to end. Only
the standard library and NumPy are used, so that the file runs in every peer's environment.
"""

import json
import os
import resource
import sys
import time
import traceback

import numpy as np


def serve(works):
    """Answer requests until standard input ends; ``works`` maps a name to prepare(arrays, settings) → route()."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the replies
    sys.stdout = sys.stderr
    route = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                route = None  # free the last one first
                with np.load(request["arrays"]) as stored:
                    arrays = {name: stored[name] for name in stored.files}
                route = works[request["work"]](arrays, request["settings"] | {"path": request["arrays"]})
                answer = {}
            elif request["do"] == "compute":
                begun = time.perf_counter()
                result = route()
                answer = {"seconds": time.perf_counter() - begun}
                np.save(request["to"], np.asarray(result))
            elif request["do"] == "time":
                answer = times_of(route)
            elif request["do"] == "memory":
                answer = {"peak": peak_memory()}
            else:
                break
        except Exception as error:
            traceback.print_exc()
            answer = {
                "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
            }
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


def times_of(route):
    """Mean seconds of a call, over as many as fill a tenth of a second: a short one alone would time cold caches.

    And of processor time, which hardly depends on what else is running: all threads of the process together, and of
    processes that it has waited for.
    """
    calls, begun, used = 0, time.perf_counter(), _processor_time()
    while calls == 0 or time.perf_counter() - begun < 0.1:
        route()
        calls += 1
    return {"seconds": (time.perf_counter() - begun) / calls, "cpu": (_processor_time() - used) / calls}


def _processor_time():
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory():
    """Largest resident set so far in bytes, VmHWM, of this process and those it started."""
    return sum(_peak_of(process) for process in [os.getpid(), *_descendants(os.getpid())])


def _peak_of(process):
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as lines:
            return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def _descendants(process):
    try:
        tasks = os.listdir(f"/proc/{process}/task")
        children = []
        for task in tasks:
            with open(f"/proc/{process}/task/{task}/children", encoding="utf-8") as text:
                children += [int(child) for child in text.read().split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *_descendants(child))]


class Moved:
    """Weights after less weights before, in one float64 vector; subtracted only when asked for, never timed."""

    def __init__(self, after, before):
        self.after, self.before = after, before

    def __array__(self, dtype=None, copy=None):
        pairs = zip(self.after, self.before, strict=True)
        return np.concatenate([(np.asarray(a, np.float64) - np.asarray(b, np.float64)).ravel() for a, b in pairs])
