#!/usr/bin/env python3
"""Writes captum_reference.json: what Captum makes of the network in explain_network.py, for test_explain.py.

    python3 captum_reference.py > captum_reference.json

Captum and PyTorch are needed to write the file anew, and for nothing else."""
import json

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients, ShapleyValueSampling

import explain_network as network

SAMPLES, RUNS = 400, 10

dense = [torch.nn.Linear(*w.shape) for w in (network.W1, network.W2)]
for layer, weight, bias in zip(dense, (network.W1, network.W2), (network.B1, network.B2)):
    layer.weight.data, layer.bias.data = torch.tensor(weight.T.copy()), torch.tensor(bias)
model = torch.nn.Sequential(dense[0], torch.nn.Tanh(), dense[1], torch.nn.Softmax(1)).double()
x = torch.tensor(network.X, dtype=torch.float64)
chosen = {"baselines": torch.tensor(network.BASELINE, dtype=torch.float64)[None], "target": torch.tensor(network.LABELS)}
torch.manual_seed(0)
gradients = IntegratedGradients(model).attribute(x, n_steps=50, method="riemann_middle", **chosen)
occlusion = FeatureAblation(model).attribute(x, **chosen)
runs = np.array([ShapleyValueSampling(model).attribute(x, n_samples=SAMPLES, **chosen).detach().numpy() for _ in range(RUNS)])
rounded = {name: np.round(value, 8).tolist() for name, value in (
    ("integrated_gradients", gradients.detach().numpy()), ("occlusion", occlusion.detach().numpy()),
    ("shapley", runs.mean(0)), ("shapley_error", runs.std(0, ddof=1) / np.sqrt(RUNS)))}
print(json.dumps({**rounded, "shapley_samples": SAMPLES * RUNS}))
