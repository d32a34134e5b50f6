"""Deltas of the pairs in a folder, beside those of other programs: sizes.py TENON FOLDER

Fails unless each makes its model again, is the smallest, and takes no more memory to apply than that of a small pair."""
import os
import subprocess
import sys

import second_reader

LAST_LAYERS = "great-last-layers"  # of which less than 5 % are sent
OTHERS = {
    "xdelta3": ["xdelta3", "-q", "-9", "-f", "-e", "-B", "134217728", "-s", "OLD", "NEW", "OUT"],
    "bsdiff": ["bsdiff", "OLD", "NEW", "OUT"],
    "zstd": ["zstd", "-q", "-f", "-19", "--long=27", "--single-thread", "--patch-from=OLD", "NEW", "-o", "OUT"],
}
MEMORY = 2 << 20  # that a great pair may take above a small one


# A process counts the memory of the one that started it, until it is another program: a small one in between.
LAUNCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


def run(command):
    """The most memory that it took, in bytes."""
    words = [sys.executable, "-S", "-c", LAUNCH, *command]
    return int(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def others(old, new, out):
    sizes = {}
    for name, words in OTHERS.items():
        run([{"OLD": old, "NEW": new, "OUT": out}.get(w, w).replace("=OLD", "=" + old) for w in words])
        sizes[name] = os.path.getsize(out)
    return sizes


def main(tenon, folder):
    failures, least = [], None
    pairs = sorted(n[: -len(".old.onnx")] for n in os.listdir(folder) if n.endswith(".old.onnx"))
    pairs.sort(key=lambda n: os.path.getsize(os.path.join(folder, n + ".new.onnx")))
    for name in pairs:
        old, new, delta, made = (os.path.join(folder, name + end) for end in (".old.onnx", ".new.onnx", ".tnd", ".made"))
        run([tenon, "delta", "make", old, new, delta])
        memory = run([tenon, "delta", "apply", old, delta, made])
        size, whole = os.path.getsize(delta), os.path.getsize(new)
        if read(made) != read(new):
            failures.append(f"{name}: what the delta makes is another file")
        least = memory if least is None else least
        if memory > least + MEMORY:
            failures.append(f"{name}: {memory} bytes of memory, and {least} for the smallest pair")
        row = f"{name}: {size} of {whole} bytes, {100 * size / whole:.3g} %, applied in {memory >> 20} MiB"
        if name == LAST_LAYERS:
            if size >= 0.05 * whole:
                failures.append(f"{name}: {size} bytes are not less than 5 % of {whole}")
        else:
            for other, bytes_ in others(old, new, os.path.join(folder, "other")).items():
                row += f"; {other} {bytes_}"
                if bytes_ <= size:
                    failures.append(f"{name}: {size} bytes, and {other} needs {bytes_}")
        print(row)
        if size < 40000 and second_reader.apply(read(old), read(delta)) != read(new):
            failures.append(f"{name}: the second reader makes another file")
    if len(pairs) < 6:
        failures.append(f"only {len(pairs)} pairs")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main(*sys.argv[1:])
