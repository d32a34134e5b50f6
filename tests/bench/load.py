"""From a model's file to its first result: time, memory, and what 20 processes that share the file need.

Two models of about 100 MB, with weights of a seed: an encoder (BERT's, 8 layers, in the measures of MiniLM) and a
perceptron (6 layers of 2048 units). Each lies under build/load in every format: .onnx, .ort, .tenon, .safetensors, .gguf.
All load it and run it once, on one thread; with what safetensors and GGUF read, numpy computes the network (networks.py),
on its OpenBLAS. A process of its own for each turn; what every model shares (code, the first use of an allocator) has been
used before the clock starts; each result is compared with ONNX Runtime's; the readers take turns; a figure is the median of
them.

    tests/bench/load [--repeats 7] [--processes 20] [--readers A,B] [--markdown] [encoder] [perceptron]

Cold: the file's pages were taken from the page cache before (posix_fadvise), those of libraries were not. Private memory is
RssAnon, shared memory RssFile (pages of files, which any number of processes have in common), both above what the process
had before; the peak is that of their sum. The memory of N processes is their proportional set size (Pss), above what they
had before, after each had its result: of processes that know nothing of each other, and of those that one made by fork()
once it had loaded the model.
"""
import argparse
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).parent
ROOT = pathlib.Path("build/load")
WARM = ROOT / "warm"


# ---- readers: open(path, inputs) and again(inputs) give back a result ----


class Tenon:
    title, ending = "Tenon", ".tenon"

    def __init__(self):
        import tenon

        self.tenon = tenon

    def open(self, path, inputs):
        self.model = self.tenon.load(path)
        self.session = self.model.session(threads=1)
        return self.again(inputs)

    def again(self, inputs):
        return list(self.session.run(inputs).values())[0]


class TenonPacked(Tenon):
    """With the packed weights of a process before it."""

    title = "Tenon, packed weights kept"

    def open(self, path, inputs):
        folder = pathlib.Path(path).parent / "packed"
        folder.mkdir(exist_ok=True)
        self.model = self.tenon.load(path, packed=folder)
        self.session = self.model.session(threads=1)
        return self.again(inputs)


class TenonPacks(Tenon):
    """With packed weights of its own."""

    title = "Tenon, weights packed"

    def open(self, path, inputs):
        self.model = self.tenon.load(path, weights="packed")
        self.session = self.model.session(threads=1)
        return self.again(inputs)


class TenonOnnx(Tenon):
    title, ending = "Tenon (.onnx)", ".onnx"


class OnnxRuntime:
    title, ending = "ONNX Runtime", ".onnx"

    def __init__(self):
        import onnxruntime as ort

        self.ort = ort
        self.options = o = ort.SessionOptions()
        o.intra_op_num_threads = o.inter_op_num_threads = 1
        o.log_severity_level = 3

    def open(self, path, inputs):
        self.session = self.ort.InferenceSession(path, self.options, providers=["CPUExecutionProvider"])
        return self.again(inputs)

    def again(self, inputs):
        return self.session.run(None, inputs)[0]


class OnnxRuntimeOrt(OnnxRuntime):
    title, ending = "ONNX Runtime (.ort)", ".ort"


class Numpy:
    """The network by numpy, of the weights that a library reads."""

    def __init__(self):
        import networks

        self.networks = networks.NETWORKS

    def open(self, path, inputs):
        weights = self.read(path)
        self.compute = self.networks[pathlib.Path(path).parent.name](weights)
        return self.again(inputs)

    def again(self, inputs):
        return self.compute(**inputs)


class Safetensors(Numpy):
    title, ending = "safetensors, numpy", ".safetensors"

    def __init__(self):
        import safetensors

        super().__init__()
        self.library = safetensors

    def read(self, path):
        with self.library.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}


class Gguf(Numpy):
    title, ending = "GGUF, numpy", ".gguf"

    def __init__(self):
        import gguf

        super().__init__()
        self.library = gguf

    def read(self, path):
        return {tensor.name: tensor.data for tensor in self.library.GGUFReader(path).tensors}


READERS = (Tenon, TenonPacks, TenonPacked, TenonOnnx, OnnxRuntime, OnnxRuntimeOrt, Safetensors, Gguf)
READERS = {r.__name__: r for r in READERS}


# ---- in the process that is measured ----


def status(*names):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}
    return [found[n] for n in names]


def pss(process="self"):
    for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def child(name, model):
    """Says what it found, then its Pss, or that of N children and itself, whenever it is asked."""
    reader = READERS[name]()
    reader.open(str(WARM / f"model{reader.ending}"), {"x": np.ones((1, 8), np.float32)})
    reader = READERS[name]()
    folder = ROOT / model
    inputs, expected = dict(np.load(folder / "inputs.npz")), np.load(folder / "expected.npy")
    gc.collect()
    gc.disable()
    share = pss()
    private, shared = status("RssAnon", "RssFile")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    begin = time.perf_counter()
    result = reader.open(str(folder / f"model{reader.ending}"), inputs)
    facts = {"seconds": time.perf_counter() - begin}
    peak, private_now, shared_now = status("VmHWM", "RssAnon", "RssFile")
    facts.update(peak=peak - private - shared, private=private_now - private, shared=shared_now - shared)
    if not np.allclose(result, expected, rtol=1e-2, atol=1e-3):
        sys.exit(f"{name}: a wrong result for {model}")
    print(json.dumps(facts), flush=True)
    for count in map(int, sys.stdin):
        total = forked(reader, inputs, count) if count else pss()
        print(json.dumps(total - share), flush=True)


def forked(reader, inputs, count):
    """Each child has a result of its own and waits until all were looked at."""
    ready, done = os.pipe(), os.pipe()
    children = []
    for _ in range(count):
        children.append(os.fork())
        if not children[-1]:
            os.close(done[1])
            reader.again(inputs)
            os.write(ready[1], b"1")
            os.read(done[0], 1)
            os._exit(0)
    for _ in children:
        os.read(ready[0], 1)
    total = pss() + sum(map(pss, children))
    os.close(done[1])
    for c in children:
        os.waitpid(c, 0)
    return total


# ---- the files ----


def encoder():
    sys.path.insert(0, str(HERE / "models"))
    import bert

    random = np.random.default_rng(7)
    ids = random.integers(1000, 30000, (1, bert.SEQUENCE))
    ones = np.ones_like(ids)
    bert.LAYERS = 8
    return bert.minilm(1), {"input_ids": ids, "attention_mask": ones, "token_type_ids": 0 * ones}


def perceptron(width=2048, layers=6):
    sys.path.insert(0, str(HERE / "models"))
    from net import Net

    net = Net("perceptron")
    x = y = net.input("x", 1, width)
    for _ in range(layers):
        y = net.linear(y, width, "relu")
    net.output(y, "y", 1, width)
    return net.model(), {x: np.random.default_rng(7).standard_normal((1, width)).astype(np.float32)}


def small():
    sys.path.insert(0, str(HERE / "models"))
    from net import Net

    net = Net("warm")
    net.output(net.linear(net.input("x", 1, 8), 8, "relu"), "y", 1, 8)
    return net.model(), {"x": np.ones((1, 8), np.float32)}


MODELS = {"encoder": encoder, "perceptron": perceptron}


def write(folder, model, inputs):
    import gguf
    import onnx
    import onnxruntime as ort
    import safetensors.numpy

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model"
    onnx.save(model, f"{path}.onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = f"{path}.ort"
    options.add_session_config_entry("session.save_model_format", "ORT")
    session = ort.InferenceSession(f"{path}.onnx", options, providers=["CPUExecutionProvider"])
    np.save(folder / "expected.npy", session.run(None, inputs)[0])
    np.savez(folder / "inputs.npz", **inputs)
    subprocess.run(["build/tenon", "convert", f"{path}.onnx", f"{path}.tenon"], check=True, stdout=subprocess.DEVNULL)
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    safetensors.numpy.save_file(weights, f"{path}.safetensors")
    writer = gguf.GGUFWriter(f"{path}.gguf", folder.name)
    for name, array in weights.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.sync()
    (folder / "complete").touch()


def make(names):
    for name, build in {"warm": small, **{n: MODELS[n] for n in names}}.items():
        if not (ROOT / name / "complete").exists():
            write(ROOT / name, *build())


# ---- measuring ----


def chill(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def heat(path):
    """By one read, whatever read it before: how pages came into the cache says how fast they are mapped."""
    chill(path)
    path.read_bytes()


def start(reader, model):
    words = [sys.executable, HERE / "load.py", "--child", reader.__name__, model]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def answer(process):
    line = process.stdout.readline()
    if not line:
        sys.exit("a process failed")
    return json.loads(line)


def once(reader, model, prepare):
    for path in [ROOT / model / f"model{reader.ending}", *(ROOT / model / "packed").glob("*")]:
        prepare(path)
    process = start(reader, model)
    facts = answer(process)
    process.stdin.close()
    process.wait()
    return facts


def ask(process, count):
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return answer(process)


def together(reader, model, count, forks):
    """Pss of all, once each of them has its result."""
    processes = [start(reader, model) for _ in range(1 if forks else count)]
    for p in processes:
        answer(p)
    total = sum(ask(p, count if forks else 0) for p in processes)
    for p in processes:
        p.stdin.close()
        p.wait()
    return total


def measure(model, options):
    readers = [READERS[name] for name in options.readers.split(",")]
    turns = {r: {"cold": [], "warm": []} for r in readers}
    for _ in range(options.repeats):
        for r in readers:
            turns[r]["cold"].append(once(r, model, chill))
            turns[r]["warm"].append(once(r, model, heat))
    rows = {}
    for r, found in turns.items():
        middle = lambda kind, what: statistics.median(f[what] for f in found[kind])
        rows[r.title] = {
            "file, MB": (ROOT / model / f"model{r.ending}").stat().st_size / 1e6,
            "cold, ms": 1e3 * middle("cold", "seconds"),
            "warm, ms": 1e3 * middle("warm", "seconds"),
            **{f"{what}, MB": middle("warm", what) / 1e6 for what in ("peak", "private", "shared")},
        }
        if options.processes:
            for forks in (False, True):
                column = f"{options.processes} {'forked' if forks else 'processes'}, MB"
                rows[r.title][column] = together(r, model, options.processes, forks) / 1e6
    return rows


def main():
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:4])
    parser = argparse.ArgumentParser(prog="load", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; none: all")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processes", type=int, default=20, help="that share the file; 0: not measured")
    parser.add_argument("--readers", default=",".join(READERS), help="of %(default)s")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    names = options.models or list(MODELS)
    make(names)
    import tables

    for name in names:
        rows = measure(name, options)
        columns = list(next(iter(rows.values())))
        table = tables.Table(f"{name}: from the file to the first result", ["", *columns])
        for title, row in rows.items():
            table.row(title, *row.values())
        table.print(options.markdown)


if __name__ == "__main__":
    main()
