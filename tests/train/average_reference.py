#!/usr/bin/env python3
"""Writes average_reference.inc: what PyTorch's averages of weights are along steps of gathered, clipped gradients, for
tests/unit/trainer_average.c.

    python3 average_reference.py > average_reference.inc

The model is y = x w + b; batch k has x = cos(0.7 (3 r + c) + k) and the target sin(r + k) in row r."""
import math
import torch

# The C initializer, its numbers, batches to a step.
AVERAGES = [
    (".kind = TN_AVERAGE_EMA, .decay = 0.8", dict(decay=0.8), 1),
    (".kind = TN_AVERAGE_EMA, .decay = 0.6, .start = 2, .every = 2", dict(decay=0.6, start=2, every=2), 3),
    (".kind = TN_AVERAGE_SWA", {}, 2),
    (".kind = TN_AVERAGE_SWA, .start = 1, .every = 2", dict(start=1, every=2), 1),
]
ROWS, STEPS = 4, 7


def steps(batches, decay=None, start=0, every=1):
    """Weights, then averaged ones, after each step."""
    model = torch.nn.Linear(3, 1).double()
    model.weight.data = torch.tensor([[0.5, 0.2, -0.1]], dtype=torch.float64)
    model.bias.data = torch.tensor([0.1], dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    average = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=None if decay is None else lambda a, p, n: decay * a + (1 - decay) * p)
    rows, used = [], False
    for step in range(STEPS):
        optimizer.zero_grad()
        for k in range(step * batches, (step + 1) * batches):
            x = torch.tensor([[math.cos(0.7 * (3 * r + c) + k) for c in range(3)] for r in range(ROWS)], dtype=torch.float64)
            t = torch.tensor([[math.sin(r + k)] for r in range(ROWS)], dtype=torch.float64)
            (torch.nn.functional.mse_loss(model(x), t) / batches).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if step + 1 > start and (step + 1 - start) % every == 0:
            average.update_parameters(model)
            used = True
        rows.append([v for m in (model, average.module if used else model)
                     for v in m.weight.flatten().tolist() + m.bias.tolist()])
    return rows


print("/* Written by average_reference.py, with PyTorch %s. */" % torch.__version__)
print("/* clang-format off */")
print("enum { REFERENCE_ROWS = %d, REFERENCE_STEPS = %d };" % (ROWS, STEPS))
print("static const struct { tn_average average; int batches; double after[REFERENCE_STEPS][8]; } averages[] = {")
for options, numbers, batches in AVERAGES:
    rows = ["{" + ", ".join(repr(v) for v in row) + "}" for row in steps(batches, **numbers)]
    print("    {{%s}, %d, {\n        %s}}," % (options, batches, ",\n        ".join(rows)))
print("};")
