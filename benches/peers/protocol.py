"""What compare.py and the Python peers speak: a line `WORK SECONDS` in, a line of JSON with the
milliseconds of every step out; none for a work that the peer has not."""

import json
import sys
import time


def serve(works, prepare):
    """Answers lines until they end. `prepare` makes the step of a work when it is first asked for."""
    ready = {}
    for line in sys.stdin:
        work, seconds = line.split()
        times = []
        if work in works:
            if work not in ready:
                ready[work] = prepare(work)
            start = time.perf_counter()
            while time.perf_counter() - start < float(seconds) or len(times) < 3:
                before = time.perf_counter()
                ready[work]()
                times.append((time.perf_counter() - before) * 1e3)
        print(json.dumps({"work": work, "ms": times}), flush=True)
