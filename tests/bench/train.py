#!/usr/bin/env python3
"""Training beside PyTorch, in turns: samples per second and peak memory of both.

    python3 train.py build/tests/bench/train [--networks a,b] [--batches 32,256] [--threads 1,2] [--seconds 3] [--rounds 3]
                     [--compile] [--shared]

Needs a Python that has PyTorch (`pip install torch numpy`; its processor kernels are those of the processor-only build).
Each measurement is a process of its own; the two take turns, and the best of the rounds counts for each. PyTorch runs
eagerly; --compile measures torch.compile too, which needs a C++ compiler and python3-dev. --shared: of the processes' own
processor time, on one thread, on a machine that others use too."""
import argparse
import math
import resource
import subprocess
import sys
import time


def networks(torch):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                                      nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))
            self.short = nn.Identity() if stride == 1 else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False),
                                                                         nn.BatchNorm2d(b))

        def forward(self, x):
            return torch.relu(self.body(x) + self.short(x))

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 64), nn.Linear(64, 6)

        def forward(self, x):
            return self.head(self.lstm(x)[1][0][0])

    def flat(*layers):
        return nn.Sequential(*layers)

    def autoencoder():
        return flat(nn.Linear(640, 128), nn.ReLU(), nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 128), nn.ReLU(),
                    nn.Linear(128, 640))

    def cnn1d():
        return flat(nn.Conv1d(3, 32, 7, padding=3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(),
                    nn.MaxPool1d(2), nn.Conv1d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                    nn.Linear(64, 6))

    def lenet():
        return flat(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(),
                    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                    nn.Linear(84, 10))

    def dscnn():
        layers = [nn.ZeroPad2d((2, 1, 5, 4)), nn.Conv2d(1, 64, (10, 4), 2, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        for _ in range(4):
            layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                       nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        return flat(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))

    def resnet20():
        layers, a = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
        for stage in range(3):
            for block in range(3):
                b = 16 << stage
                layers.append(Block(a, b, 2 if stage and not block else 1))
                a = b
        return flat(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def transformer():
        return flat(*[nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True) for _ in range(2)],
                    nn.Flatten(), nn.Linear(4096, 10))

    return {"autoencoder": (autoencoder, (0, 640), None), "cnn1d": (cnn1d, (0, 3, 128), 6),
            "lenet": (lenet, (0, 1, 28, 28), 10), "dscnn": (dscnn, (0, 1, 49, 10), 12),
            "resnet20": (resnet20, (0, 3, 32, 32), 10), "lstm": (Lstm, (100, 0, 8), 6),
            "transformer": (transformer, (0, 64, 64), 10)}


NAMES = ["autoencoder", "cnn1d", "lenet", "dscnn", "resnet20", "lstm", "transformer"]


def torch_worker(name, batch, threads, seconds, compiled, shared):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    make, dims, classes = networks(torch)[name]
    model = make()
    model.train()
    x = torch.rand([d or batch for d in dims]) * 2 - 1
    target = torch.zeros(batch, dtype=torch.long) if classes else torch.rand(batch, 640) * 2 - 1
    loss_of = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters())
    if compiled:
        model = torch.compile(model)
        loss_of(model(x), target).backward()
    now = time.process_time if shared else time.perf_counter
    times, end = [], now() + seconds
    while now() < end or len(times) < 3:
        start = now()
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(x), target).backward()
        optimizer.step()
        times.append(now() - start)
    times.sort()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name} batch {batch} threads {threads}: {batch / times[len(times) // 2]:.0f} samples/s, {memory:.0f} MB")


def measure(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, memory = out.split(": ")[1].split(" samples/s, ")
    return float(rate), float(memory.split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--batches", default="32,256")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--shared", action="store_true")
    o = parser.parse_args()
    if o.shared:
        o.threads = "1"
    modes = ["eager", "compiled"] if o.compile else ["eager"]
    ratios = {mode: [] for mode in modes}
    print("network       batch threads   Tenon/s  Tenon MB" + "".join(f"{m:>10}/s ratio    MB" for m in modes))
    for name in o.networks.split(","):
        for batch in o.batches.split(","):
            for threads in o.threads.split(","):
                ours, theirs = (0, 0), {mode: (0, 0) for mode in modes}
                for _ in range(o.rounds):
                    each = [name, batch, threads, str(o.seconds)]
                    ours = max(ours, measure([o.program, *each, *["shared"] * o.shared]))
                    for mode in modes:
                        worker = [sys.executable, __file__, "--worker", *each, mode, str(o.shared)]
                        theirs[mode] = max(theirs[mode], measure(worker))
                print(f"{name:14}{batch:>5}{threads:>8}{ours[0]:10.0f}{ours[1]:10.0f}", end="")
                for mode in modes:
                    ratios[mode].append(ours[0] / theirs[mode][0])
                    print(f"{theirs[mode][0]:12.0f}{ratios[mode][-1]:6.2f}{theirs[mode][1]:6.0f}", end="")
                print(flush=True)
    for mode, all_of in ratios.items():
        print(f"{mode}: geometric mean {math.exp(sum(map(math.log, all_of)) / len(all_of)):.2f}, least {min(all_of):.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        name, batch, threads, seconds, mode, shared = sys.argv[2:]
        torch_worker(name, int(batch), int(threads), float(seconds), mode == "compiled", shared == "True")
    else:
        main()
