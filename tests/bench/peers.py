"""Tenon beside its peers on the real models and on published networks, in one run, alternating.

Each engine runs each model in a process of its own. The processes take turns of a fraction of a second; a figure is the
median over all turns. What counts is the ratio of Tenon's figure to the best peer's on the same row.

    tests/bench/peers [--latency] [--load] [--jitter] [--sessions 2] [--int8] [--batch 1,8] [--threads 1,2]
                      [--json FILE] [part of a model's name ...]

--latency, the default, is the time of a run; --load the time from the file until a session could run, that to the first
result, and the most memory on the way, a new process each time; --jitter the 99th percentile of a run started every
10 ms over its median; --sessions N how many times the runs of one session N sessions of the same model do, one thread
each.
On a machine that others use too, --shared takes the time that the thread had a core for (one thread), or the tenth
percentile instead of the median (several).
With --json, figures are kept there, and rows measured before stay: a long table can be made in slices. --show only
prints what is kept, --markdown as Markdown.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import tables

HERE = pathlib.Path(__file__).parent
MODELS = pathlib.Path("build/models")
WARM = MODELS / "bench/warm/model.onnx"
TURN = 0.15


class Worker:
    """A process of worker.py; `facts` is None from when it fails."""

    def __init__(self, engine, folder, threads, sessions=1):
        self.engine, self.times = engine, []
        words = [engine, folder / "model.onnx", str(threads), str(sessions), folder / "test_data_set_0"]
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.facts = self.read()
        if self.facts and not self.facts["right"]:
            self.facts = None

    def read(self):
        for line in self.process.stdout:
            if line.startswith(("{", "[")) or line[:1].isdigit():
                return json.loads(line)
        return None

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer is None:
            self.facts = None
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def start(engines, folder, threads, sessions=1):
    workers = [Worker(e, folder, threads, sessions) for e in engines]
    return workers, [w for w in workers if w.facts]


def measure_latency(folder, threads, options):
    workers, good = start(options.engines, folder, threads)
    end = time.perf_counter() + options.seconds * len(good)
    turns = 0
    while turns < 3 or time.perf_counter() < end:
        for w in good:
            w.times += w.ask(f"run {TURN} own" if options.shared and threads == 1 else f"run {TURN}")
        turns += 1
    for w in workers:
        w.close()
    share = 0.1 if options.shared and threads > 1 else 0.5
    return {w.engine: sorted(w.times)[int(share * len(w.times))] / 1e6 for w in good}


def measure_load(folder, threads, options):
    facts = {e: [] for e in options.engines}
    for _ in range(options.repeats):
        for e in list(facts):
            w = Worker(e, folder, threads)
            w.close()
            if w.facts:
                facts[e].append(w.facts)
            else:
                del facts[e]
    return {
        e: {
            "ready": 1e3 * statistics.median(f["load"] - f["first"] for f in found),
            "load": 1e3 * statistics.median(f["load"] for f in found),
            "memory": statistics.median(f["memory"] for f in found) / 2**20,
        }
        for e, found in facts.items()
    }


def measure_jitter(folder, threads, options):
    workers, good = start(options.engines, folder, threads)
    for _ in range(max(3, int(options.seconds))):
        for w in good:
            w.times += w.ask("every 0.01 1")[1:]
    for w in workers:
        w.close()
    cuts = {w.engine: statistics.quantiles(w.times, n=100) for w in good}
    return {e: {"median": c[49] / 1e6, "p99": c[98] / 1e6, "jitter": c[98] / c[49]} for e, c in cuts.items()}


def measure_sessions(folder, threads, options):
    """Threads are one for each session, whatever is asked for otherwise."""
    workers, good = start(options.engines, folder, 1, options.sessions)
    rates = {w.engine: ([], []) for w in good}
    for _ in range(max(3, int(options.seconds / 0.5))):
        for w in good:
            rates[w.engine][0].append(w.ask("together 1 0.5"))
            rates[w.engine][1].append(w.ask(f"together {options.sessions} 0.5"))
    for w in workers:
        w.close()
    return {
        e: {"alone": statistics.median(one), "together": statistics.median(all)} for e, (one, all) in rates.items()
    }


def folders(options):
    """The test cases of the rows that are asked for."""
    kinds = ["cases/real", "bench/real", "bench/float32", "bench/int8"]
    found = []
    for kind in kinds:
        if (MODELS / kind).is_dir():
            found += sorted(f for f in (MODELS / kind).iterdir() if f.is_dir())
    for f in found:
        batch = int(f.name.rpartition("_b")[2]) if f.name[-3:] in ("_b1", "_b8") else 1
        quantized = tables.is_quantized(f)
        if batch not in options.batch or (quantized and options.float32) or (not quantized and options.int8):
            continue
        if not options.models or any(m in tables.name_of(f) for m in options.models):
            yield f


def write_warm():
    from onnx import TensorProto, helper, save

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "warm", [x], [y])
    WARM.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), WARM)


def numbers(text):
    return [int(word) for word in text.split(",")]


def parse():
    parser = argparse.ArgumentParser(prog="peers", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="parts of models' names; none: all")
    for mode in ("latency", "load", "jitter"):
        parser.add_argument(f"--{mode}", dest="modes", action="append_const", const=mode)
    parser.add_argument("--sessions", type=int, help="sessions of one model, a thread each")
    parser.add_argument("--int8", action="store_true", help="quantized models only")
    parser.add_argument("--float32", action="store_true", help="none that is quantized")
    parser.add_argument("--batch", type=numbers, default=[1, 8])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2, help="for each engine and row")
    parser.add_argument("--shared", action="store_true", help="latency on a machine that others use too")
    parser.add_argument("--best", action="store_true", help="show only the best peer of each row")
    parser.add_argument("--repeats", type=int, default=5, help="of --load")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(tables.TITLES))
    parser.add_argument("--json", type=pathlib.Path, help="keep the figures there")
    parser.add_argument("--show", action="store_true", help="only print what is kept")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    options.modes = options.modes or []
    if options.sessions:
        options.modes.append("sessions")
    options.modes = options.modes or ["latency"]
    return options


MEASURES = {
    "latency": measure_latency,
    "load": measure_load,
    "jitter": measure_jitter,
    "sessions": measure_sessions,
}


def main():
    options = parse()
    kept = {}
    if options.json and options.json.exists():
        kept = json.loads(options.json.read_text())
    if not options.show:
        write_warm()
    for folder in [] if options.show else list(folders(options)):
        for mode in options.modes:
            for threads in options.threads if mode in ("latency", "jitter") else [1]:
                name = tables.name_of(folder)
                if sys.stderr.isatty():
                    print(f"\r{name}, {mode}, {threads} thread(s)\033[K", end="", file=sys.stderr)
                rows = kept.setdefault(mode, {})
                rows[f"{name}/{threads}"] = {
                    "quantized": tables.is_quantized(folder),
                    **MEASURES[mode](folder, threads, options),
                }
                if options.json:
                    options.json.write_text(json.dumps(kept, indent=1))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    tables.show(kept, options)


if __name__ == "__main__":
    main()
