#!/usr/bin/env python3
"""Writes torch_reference.inc: what PyTorch's optimizers and schedules do, for tests/unit/optimizer.c.

    python3 torch_reference.py > torch_reference.inc

PyTorch is needed to write the file anew, and for nothing else. Lion, which PyTorch does not have, is computed here as its
paper (arXiv 2302.06675, algorithm 2) says. Gradients are g_i = cos(1.3 k + i) (1 + i / 2) + w_i / 5 at step k."""
import math
import torch

SIZE, STEPS = 5, 6
START = [0.5 - 0.3 * i for i in range(SIZE)]


def gradient(w, k):
    return torch.tensor([math.cos(1.3 * k + i) * (1 + i / 2) for i in range(SIZE)], dtype=torch.float64) + w.detach() / 5


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                b1, b2 = group["betas"]
                update = torch.sign(b1 * m + (1 - b1) * p.grad)
                p.data.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * update)
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


# The C initializer of the options, the optimizer, and what is done to the gradient before.
OPTIMIZERS = [
    (".kind = TN_SGD, .rate = 0.1", lambda p: torch.optim.SGD(p, 0.1), {}),
    (".kind = TN_SGD, .rate = 0.1, .momentum = 0.9, .weight_decay = 0.01",
     lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01), {}),
    (".kind = TN_SGD, .rate = 0.05, .momentum = 0.8, .nesterov = true",
     lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True), {}),
    (".kind = TN_SGD, .rate = 0.1, .clip_norm = 0.75", lambda p: torch.optim.SGD(p, 0.1), {"clip": 0.75}),
    (".kind = TN_SGD, .rate = 0.1, .clip_norm = 100", lambda p: torch.optim.SGD(p, 0.1), {"clip": 100}),
    (".kind = TN_SGD, .rate = 0.1, .l1 = 0.3", lambda p: torch.optim.SGD(p, 0.1), {"l1": 0.3}),
    (".kind = TN_ADAM", lambda p: torch.optim.Adam(p), {}),
    (".kind = TN_ADAM, .rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1",
     lambda p: torch.optim.Adam(p, 0.05, (0.8, 0.95), 1e-3, 0.1), {}),
    (".kind = TN_ADAMW, .rate = 0.05, .weight_decay = 0.2", lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.2), {}),
    (".kind = TN_ADAGRAD, .rate = 0.1", lambda p: torch.optim.Adagrad(p, 0.1), {}),
    (".kind = TN_ADAGRAD, .rate = 0.1, .epsilon = 0.01, .weight_decay = 0.1",
     lambda p: torch.optim.Adagrad(p, 0.1, eps=0.01, weight_decay=0.1), {}),
    (".kind = TN_RMSPROP, .rate = 0.01", lambda p: torch.optim.RMSprop(p, 0.01), {}),
    (".kind = TN_RMSPROP, .rate = 0.01, .alpha = 0.9, .momentum = 0.7, .weight_decay = 0.1",
     lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, momentum=0.7, weight_decay=0.1), {}),
    (".kind = TN_LION, .rate = 0.01, .weight_decay = 0.5", lambda p: Lion(p, 0.01, (0.9, 0.99), 0.5), {}),
]


def trace(make, extra):
    w = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer, rows = make([w]), []
    for k in range(STEPS):
        w.grad = gradient(w, k) + extra.get("l1", 0) * torch.sign(w.detach())
        if "clip" in extra:
            torch.nn.utils.clip_grad_norm_([w], extra["clip"])
        optimizer.step()
        rows.append(w.detach().tolist())
    return rows


S = torch.optim.lr_scheduler
SCHEDULES = [
    (".kind = TN_SCHEDULE_CONSTANT", 1, lambda o: S.LambdaLR(o, lambda k: 1)),
    (".kind = TN_SCHEDULE_CONSTANT, .warm_up = 5", 1, lambda o: S.LinearLR(o, 1 / 5, 1, 4)),
    (".kind = TN_SCHEDULE_STEP, .period = 4, .factor = 0.3", 1, lambda o: S.StepLR(o, 4, 0.3)),
    (".kind = TN_SCHEDULE_EXPONENTIAL, .factor = 0.9", 1, lambda o: S.ExponentialLR(o, 0.9)),
    (".kind = TN_SCHEDULE_COSINE, .period = 7", 1, lambda o: S.CosineAnnealingWarmRestarts(o, 7)),
    (".kind = TN_SCHEDULE_COSINE, .period = 3, .stretch = 2, .floor = 0.05", 1,
     lambda o: S.CosineAnnealingWarmRestarts(o, 3, 2, 0.05)),
    (".kind = TN_SCHEDULE_ONE_CYCLE, .total = 25", 1, lambda o: S.OneCycleLR(o, 1, 25)),
    (".kind = TN_SCHEDULE_ONE_CYCLE, .total = 25, .rise = 0.4, .start = 10, .end = 100", 1,
     lambda o: S.OneCycleLR(o, 1, 25, pct_start=0.4, div_factor=10, final_div_factor=100)),
]


def rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule, out = make(optimizer), []
    for _ in range(25):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(out) < 25:
            schedule.step()
    return out


LOSSES = [3, 2, 2.5, 2.5, 2.5, 1, 0.99999, 0.99998, 0.99997, 0.9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def plateau():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule, out = S.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.1), []
    for loss in LOSSES:
        schedule.step(loss)
        out.append(optimizer.param_groups[0]["lr"])
    return out


def numbers(values):
    return "{" + ", ".join(repr(float(v)) for v in values) + "}"


print("/* Written by torch_reference.py, with PyTorch %s. */" % torch.__version__)
print("/* clang-format off */")
print("enum { REFERENCE_SIZE = %d, REFERENCE_STEPS = %d, REFERENCE_RATES = 25 };" % (SIZE, STEPS))
print("static const struct { tn_optimizer_options options; double after[REFERENCE_STEPS][REFERENCE_SIZE]; } optimizers[] = {")
for options, make, extra in OPTIMIZERS:
    print("    {{%s}, {\n        %s}}," % (options, ",\n        ".join(numbers(r) for r in trace(make, extra))))
print("};")
print("static const struct { tn_schedule schedule; double factors[REFERENCE_RATES]; } schedules[] = {")
for options, _, make in SCHEDULES:
    print("    {{%s}, %s}," % (options, numbers(rates(make))))
print("};")
print("static const double plateau_losses[REFERENCE_RATES] = %s;" % numbers(LOSSES))
print("static const double plateau_rates[REFERENCE_RATES] = %s;" % numbers(plateau()))
