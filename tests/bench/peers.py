"""Latency, load time and peak memory of Tenon beside its peers, in one run, alternating.

Each engine runs each model in a process of its own. The processes take turns of a fraction of a second; a row's figure is the
median over all turns. What counts is the ratio of Tenon's median to the best peer's.

    tests/bench/peers [--threads 1,2] [--seconds 3] [--json FILE] [part of a model's name ...]
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
CASES = pathlib.Path("build/models/cases/real")
ENGINES = ["tenon", "onnxruntime", "openvino", "mnn"]
TURN = 0.15


class Worker:
    def __init__(self, engine, model, threads, case):
        self.engine = engine
        self.times = []
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", engine, model, str(threads), case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.facts = self.read()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return None

    def turn(self):
        self.process.stdin.write(f"run {TURN}\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer is None:
            self.facts = None
            return
        self.times += answer["times"]
        self.facts["memory"] = answer["memory"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(folder, threads, seconds, engines):
    model, case = folder / "model.onnx", folder / "test_data_set_0"
    workers = [Worker(e, str(model), threads, str(case)) for e in engines]
    for _ in range(max(3, int(seconds / TURN))):
        for w in workers:
            if w.facts:
                w.turn()
    for w in workers:
        w.close()
    row = {"model": folder.name.removeprefix("test_"), "threads": threads}
    for w in workers:
        if w.facts:
            row[w.engine] = {
                "ms": statistics.median(w.times) / 1e6,
                "load_ms": w.facts["load"] * 1e3,
                "first_ms": w.facts["first"] * 1e3,
                "memory_mb": w.facts["memory"] / 2**20,
            }
    peers = [row[e]["ms"] for e in engines if e != "tenon" and e in row]
    if "tenon" in row and peers:
        row["ratio"] = row["tenon"]["ms"] / min(peers)
    return row


def show(rows, engines):
    for threads in sorted({r["threads"] for r in rows}):
        group = [r for r in rows if r["threads"] == threads]
        print(f"\nMedian latency in milliseconds, {threads} thread{'s' * (threads > 1)}; ratio: Tenon to the best peer")
        print(f"{'model':48}" + "".join(f"{e:>13}" for e in engines) + f"{'ratio':>8}")
        for r in group:
            cells = "".join(f"{r[e]['ms']:13.3f}" if e in r else f"{'-':>13}" for e in engines)
            print(f"{r['model'][:47]:48}{cells}" + (f"{r['ratio']:8.2f}" if "ratio" in r else f"{'-':>8}"))
        ratios = [r["ratio"] for r in group if "ratio" in r]
        if ratios:
            print(f"{'geometric mean':48}{'':{13 * len(engines)}}{math.exp(statistics.mean(map(math.log, ratios))):8.2f}")
    print("\nLoad time in milliseconds / peak memory in MiB above the interpreter's, 1 thread")
    for r in [r for r in rows if r["threads"] == min(x["threads"] for x in rows)]:
        cells = "".join(
            f"{r[e]['load_ms']:8.1f}/{r[e]['memory_mb']:6.1f}" if e in r else f"{'-':>15}" for e in engines
        )
        print(f"{r['model'][:47]:48}{cells}")


def main():
    parser = argparse.ArgumentParser(prog="peers", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="parts of models' names; none: all")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=3, help="for each engine, model and thread count")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    engines = options.engines.split(",")
    rows = []
    for folder in sorted(CASES.iterdir()):
        if options.models and not any(m in folder.name for m in options.models):
            continue
        for threads in map(int, options.threads.split(",")):
            if sys.stderr.isatty():
                print(f"\r{folder.name}, {threads} thread(s)\033[K", end="", file=sys.stderr)
            rows.append(measure(folder, threads, options.seconds, engines))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    show(rows, engines)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1))


main()
