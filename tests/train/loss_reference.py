#!/usr/bin/env python3
"""Prints what PyTorch makes of the losses in the table of tests/unit/trainer_loss.c: python3 loss_reference.py"""
import math
import torch
import torch.nn.functional as F


def some(*dims):  # as tests/unit/gradient.h has it
    n = math.prod(dims)
    values = [2 * math.sin(1.7 * i + 0.6 * len(dims) + 0.3 * n) for i in range(n)]
    values = [x + 0.1 if abs(x) < 0.05 else x for x in values]
    return torch.tensor(values, dtype=torch.float64).reshape(dims)


scores, labels = some(2, 3, 2), torch.tensor([[1, 0], [2, 1]])
weights = torch.tensor([1, 2, 0.5], dtype=torch.float64)
shares = torch.softmax(some(2, 3, 2) * 0.7 + 0.1 * some(3, 2), 1)
shares[0, 0, 0] = 0
each = F.cross_entropy(scores, labels, reduction="none")
p = torch.exp(-each)
difference = some(3, 2).reshape(2, 3) * 0.5 - some(2, 3)
for name, loss in [
        ("smoothing", F.cross_entropy(scores, labels, label_smoothing=0.1)),
        ("weights", F.cross_entropy(scores, labels, weight=weights)),
        ("both", F.cross_entropy(scores, labels, weight=weights, label_smoothing=0.2)),
        ("focal", ((1 - p) ** 2 * each).mean()),
        ("focal with weights", ((1 - p) ** 3.5 * each * weights[labels]).mean()),
        ("divergence", F.kl_div(torch.log_softmax(scores, 1), shares, reduction="none").sum(1).mean()),
        ("soft", F.cross_entropy(scores, shares)),
        ("soft, with all", F.cross_entropy(scores, shares, weight=weights, label_smoothing=0.2)),
        ("temporal", F.ctc_loss(torch.log_softmax(some(3, 4, 7), 1).permute(2, 0, 1), torch.tensor(
            [[1, 2, 3, 0], [2, 2, 0, 0], [3, 1, 1, 2]]), [7, 7, 7], [3, 2, 4])),
        ("temporal, empty", F.ctc_loss(torch.log_softmax(some(2, 3, 2), 1).permute(2, 0, 1), torch.tensor(
            [[0, 0], [2, 1]]), [2, 2], [0, 2])),
        ("quantile", torch.maximum(0.3 * difference, -0.7 * difference).mean())]:
    print(name, "%.15g" % loss)
