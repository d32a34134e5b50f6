"""The tables of peers.py: rows, ratios of Tenon's figure to the best peer's, and their geometric means by group."""
import functools
import math
import pathlib
import platform

from engines import TITLES, version

QUANTIZED = (b"QuantizeLinear", b"MatMulInteger", b"ConvInteger")
INITIALS = {"onnxruntime": "R", "openvino": "V", "mnn": "M"}
SMALL = 1.0  # milliseconds of the best peer


@functools.cache
def is_quantized(folder):
    data = (folder / "model.onnx").read_bytes()
    return any(name in data for name in QUANTIZED)


def name_of(folder):
    name = folder.name.removeprefix("test_")
    return name + "_int8" if folder.parent.name == "int8" else name


def geometric(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def head():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    flags = next((l.split() for l in open("/proc/cpuinfo") if l.startswith(("flags", "Features"))), [])
    parts = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm") if f in flags]
    made = ", ".join(f"{title} {version(e)}" for e, title in TITLES.items())
    return f"{cpu} ({', '.join(parts)}); {made}"


class Table:
    """Cells of text, printed in columns or as Markdown; the first column is left, the others right."""

    def __init__(self, title, columns):
        self.title, self.rows = title, [columns]

    def row(self, *cells):
        self.rows.append([figure(c) for c in cells])

    def print(self, markdown):
        print(f"\n{self.title}" + "\n" * markdown)
        if markdown:
            self.rows.insert(1, ["---"] + ["---:"] * (len(self.rows[0]) - 1))
            for row in self.rows:
                print("| " + " | ".join(row) + " |")
            return
        widths = [max(len(row[k]) for row in self.rows) for k in range(len(self.rows[0]))]
        for row in self.rows:
            print(f"{row[0]:{widths[0]}}" + "".join(f"  {c:>{w}}" for c, w in zip(row[1:], widths[1:])))


def figure(value):
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def pair(values):
    return " / ".join(map(figure, values)) if any(values) else "-"


def ratio(row, engines, pick=lambda x: x, best=min):
    peers = [pick(row[e]) for e in engines if e != "tenon" and e in row]
    return pick(row["tenon"]) / best(peers) if peers and "tenon" in row else None


def split(key):
    name, _, threads = key.rpartition("/")
    return name, int(threads)


def best_cells(lines, engines):
    """Tenon's figure, the best peer's with its name, and the ratio, for each number of threads."""
    cells = []
    for line in lines:
        peers = {e: line[e] for e in engines if e != "tenon" and e in line}
        best = min(peers, key=peers.get) if peers else None
        found = ratio(line, engines)
        cells += [line.get("tenon"), best and f"{figure(peers[best])} {INITIALS[best]}", found and f"{found:.2f}"]
    return cells


def show_latency(rows, engines, markdown, best):
    means = []
    for quantized in (False, True):
        group = {k: r for k, r in rows.items() if r["quantized"] == quantized}
        counts = sorted({split(k)[1] for k in group})
        if not group:
            continue
        kind = "int8" if quantized else "float32"
        title = f"Median latency in ms, {kind}, {' / '.join(map(str, counts))} thread(s); ratio: Tenon to the best peer"
        if best:
            title += "; best peer: " + ", ".join(f"{INITIALS[e]} {TITLES[e]}" for e in engines if e in INITIALS)
            heads = ["Tenon", "best peer", "ratio"] * len(counts)
        else:
            heads = [*[TITLES[e] for e in engines], "ratio"]
        table = Table(title, ["model", *heads])
        for name in dict.fromkeys(split(k)[0] for k in group):
            lines = [group.get(f"{name}/{n}", {}) for n in counts]
            if best:
                table.row(name, *best_cells(lines, engines))
                continue
            cells = [pair([line.get(e) for line in lines]) for e in engines]
            ratios = [ratio(line, engines) for line in lines]
            table.row(name, *cells, pair([r and f"{r:.2f}" for r in ratios]))
        table.print(markdown)
        for n in counts:
            lines = [r for k, r in group.items() if split(k)[1] == n]
            for title, wanted in (("", lambda r: True), (", under 1 ms", lambda r: small(r, engines))):
                ratios = [x for x in (ratio(r, engines) for r in lines if wanted(r)) if x]
                if ratios:
                    means.append((f"{kind}{title}, {n} thread(s)", ratios))
    table = Table("Ratios", ["group", "rows", "geometric mean", "worst"])
    for title, ratios in means:
        table.row(title, str(len(ratios)), f"{geometric(ratios):.2f}", f"{max(ratios):.2f}")
    table.print(markdown)
    show_own(rows, markdown)


def small(row, engines):
    peers = [row[e] for e in engines if e != "tenon" and e in row]
    return bool(peers) and min(peers) < SMALL


def show_own(rows, markdown):
    """int8 beside the same network in float32."""
    table = Table("Tenon: float32 over int8 on the same network", ["model", "float32 ms", "int8 ms", "times faster"])
    for key, row in rows.items():
        name, threads = split(key)
        plain = rows.get(f"{name.removesuffix('_int8')}/{threads}")
        if name.endswith("_int8") and plain and "tenon" in plain and "tenon" in row:
            faster = plain["tenon"] / row["tenon"]
            table.row(f"{name}, {threads} thread(s)", plain["tenon"], row["tenon"], f"{faster:.2f}")
    if len(table.rows) > 1:
        table.print(markdown)


def show_figures(title, rows, engines, fields, ratios, markdown, best=min):
    """One figure or more an engine, and the ratio of each."""
    table = Table(title, ["model", *[f"{TITLES[e]}" for e in engines], *ratios])
    found = {f: [] for f in fields}
    for key, row in rows.items():
        cells = [pair([row[e][f] for f in fields]) if e in row else None for e in engines]
        each = [ratio(row, engines, lambda x, f=f: x[f], best) for f in fields]
        for f, r in zip(fields, each):
            found[f] += [r] if r else []
        table.row(split(key)[0], *cells, *[r and f"{r:.2f}" for r in each])
    means = [geometric(found[f]) for f in fields]
    table.row("geometric mean", *["-" for _ in engines], *[m and f"{m:.2f}" for m in means])
    table.print(markdown)


def show(kept, options):
    engines, markdown = options.engines, options.markdown
    print(head())
    if "latency" in kept:
        show_latency(kept["latency"], engines, markdown, options.best)
    if "load" in kept:
        title = "From the file to a session in ms / to the first result / most memory in MiB, 1 thread; ratio: Tenon to the best peer"
        show_figures(title, kept["load"], engines, ["ready", "load", "memory"], ["session", "result", "memory"], markdown)
    if "jitter" in kept:
        title = "A run every 10 ms: median in ms / 99th percentile over it; ratio: of the latter, Tenon's to the best peer's"
        show_figures(title, kept["jitter"], engines, ["median", "jitter"], ["median", "jitter"], markdown)
    if "sessions" in kept:
        for row in kept["sessions"].values():
            for e in engines:
                if e in row:
                    row[e]["gain"] = row[e]["together"] / row[e]["alone"]
        title = "Sessions of one model, a thread each: runs a second of all / times those of one; ratio: Tenon to the best peer"
        show_figures(title, kept["sessions"], engines, ["together", "gain"], ["rate", "gain"], markdown, max)
