"""One engine, one model, in a process of its own: answers commands on stdin with JSON lines on stdout.

    worker.py ENGINE MODEL THREADS SESSIONS CASE     CASE: a folder with input_K.pb and output_K.pb

It first says how long the way from the file to the first result took, the most memory that it needed, and whether the
result is right. A trivial model has been loaded and run before, so that what every model shares (code, plugins, the
allocator's and threads' first use) counts for no engine; memory is resident memory, private and shared, above that.
Commands, times in nanoseconds:
    run SECONDS [own]       runs for that long; own: by the calling thread's own time, without what others take
    every PERIOD SECONDS    starts a run every PERIOD seconds
    together COUNT SECONDS  COUNT sessions of the model, a thread each: runs in all, and time
"""
import gc
import json
import pathlib
import sys
import threading
import time

import numpy as np
import onnx
from onnx import numpy_helper

from engines import ENGINES, right

WARM = pathlib.Path("build/models/bench/warm")


def read_tensors(case, kind):
    tensors = {}
    for k in range(100):
        path = pathlib.Path(case, f"{kind}_{k}.pb")
        if not path.exists():
            break
        t = onnx.TensorProto.FromString(path.read_bytes())
        tensors[t.name] = numpy_helper.to_array(t).copy(order="C")
    return tensors


def memory(what):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    return 0


def run_for(engine, seconds, clock=time.perf_counter_ns):
    """Times of runs; the first, which finds the caches full of others' data, is not among them if it is short."""
    run, times = engine.run, []
    start = clock()
    run()
    if clock() - start > 50e6:
        times.append(clock() - start)
    end = start + int(seconds * 1e9)
    while True:
        before = clock()
        run()
        after = clock()
        times.append(after - before)
        if after > end:
            return times


def run_every(engine, period, seconds):
    clock, run, times = time.perf_counter_ns, engine.run, []
    start = due = clock()
    while due < start + seconds * 1e9:
        time.sleep(max(0, due - clock()) / 1e9)
        before = clock()
        run()
        times.append(clock() - before)
        due += int(period * 1e9)
    return times


def run_together(engines, seconds):
    counts, times = [0] * len(engines), [0] * len(engines)
    ready = threading.Barrier(len(engines))

    def work(k):
        ready.wait()
        start = time.perf_counter()
        end = start + seconds
        while time.perf_counter() < end:
            engines[k].run()
            counts[k] += 1
        times[k] = time.perf_counter() - start

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(engines))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(count / time for count, time in zip(counts, times))


def start(name, model, threads, sessions, case):
    inputs = read_tensors(case, "input")
    warm = ENGINES[name](threads)
    warm.load(str(WARM / "model.onnx"), {"x": np.ones((1, 8), np.float32)})
    warm.run()
    engine = ENGINES[name](threads, sessions)
    gc.collect()
    gc.disable()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = memory("VmRSS")
    begin = time.perf_counter()
    engine.load(model, inputs)
    loaded = time.perf_counter()
    engine.run()
    done = time.perf_counter()
    if hasattr(engine, "settle"):
        engine.settle()
    for _ in range(2):
        engine.run()
    facts = {"load": done - begin, "first": done - loaded, "memory": memory("VmHWM") - before}
    small = "int8" in model or pathlib.Path(case).parent.joinpath("tolerance").exists()
    facts["right"] = bool(right(engine.outputs(), read_tensors(case, "output"), 0.1 if small else 0.02))
    return engine, facts


def main():
    name, model, threads, sessions, case = sys.argv[1:6]
    engine, facts = start(name, model, int(threads), int(sessions), case)
    print(json.dumps(facts), flush=True)
    together = [engine]
    for line in sys.stdin:
        words = line.split()
        if words[0] == "run":
            clock = time.thread_time_ns if words[2:] == ["own"] else time.perf_counter_ns
            answer = run_for(engine, float(words[1]), clock)
        elif words[0] == "every":
            answer = run_every(engine, float(words[1]), float(words[2]))
        else:
            while len(together) < int(words[1]):
                together.append(engine.another())
            answer = run_together(together[: int(words[1])], float(words[2]))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
