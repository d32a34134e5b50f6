#!/usr/bin/env python3
"""Writes rounding_reference.inc: what PyTorch's fake_quantize gives, and its gradients, for tests/unit/gradient_rounding.c.

    python3 rounding_reference.py > rounding_reference.inc

x[i] = 1.9 sin(1.3 i + 0.2) of [2, 3, 4]; the gradient that comes in is cos(0.7 i)."""
import math
import torch

# Scales, zero points, axis (None: one scale in all), the least and greatest integer.
CASES = [([0.02], [3], None, -128, 127), ([0.013], [0], None, -128, 127), ([0.01], [100], None, 0, 255), ([0.00004], [7], None, -32768, 32767),
         ([0.004, 0.02, 0.009], [0, 0, 0], 1, -128, 127), ([0.01, 0.005, 0.02, 0.007], [10, 200, 128, 0], 2, 0, 255),
         ([0.011, 0.012], [0, 5], 0, -128, 127)]
x = torch.tensor([1.9 * math.sin(1.3 * i + 0.2) for i in range(24)]).reshape(2, 3, 4)
g = torch.tensor([math.cos(0.7 * i) for i in range(24)]).reshape(2, 3, 4)
print("/* Written by rounding_reference.py, with PyTorch %s. */" % torch.__version__)
print("/* clang-format off */")
print("static const struct { int scales; float scale[4]; int zero[4]; int axis, low, high; float y[24], grad[24]; } cases[] = {")
for scales, zeros, axis, low, high in CASES:
    leaf = x.clone().requires_grad_()
    if axis is None:
        y = torch.fake_quantize_per_tensor_affine(leaf, scales[0], zeros[0], low, high)
    else:
        y = torch.fake_quantize_per_channel_affine(leaf, torch.tensor(scales), torch.tensor(zeros, dtype=torch.int32), axis, low, high)
    y.backward(g)
    row = lambda values: "{" + ", ".join("%.9gf" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g" % v for v in values) + "}"
    print("    {%d, %s, {%s}, %d, %d, %d,\n     %s,\n     %s}," % (
        len(scales), row(scales), ", ".join(map(str, zeros)), -1 if axis is None else axis, low, high,
        row(y.detach().flatten().tolist()), row(leaf.grad.flatten().tolist())))
print("};")
