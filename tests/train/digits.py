#!/usr/bin/env python3
"""scikit-learn's digits: three splits, on each of which examples/train_digits must do at least as well as scikit-learn's own
neural network, and write an ONNX file that ONNX Runtime agrees with.

    digits.py PROGRAM FOLDER"""
import subprocess
import sys
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

program, folder = sys.argv[1:]
x, y = load_digits(return_X_y=True)
ours, theirs = [], []
for seed in range(3):
    parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)
    paths = [f"{folder}/{name}.csv" for name in ("train", "test")]
    for path, pixels, digits in zip(paths, parts[:2], parts[2:]):
        np.savetxt(path, np.column_stack([pixels, digits]), fmt="%d", delimiter=",")
    out = subprocess.run([program, *paths, f"{folder}/digits.onnx"], check=True, capture_output=True, text=True).stdout
    ours.append(float(out.split("accuracy")[1]))
    model = MLPClassifier(random_state=seed, max_iter=500).fit(parts[0] / 16, parts[2])
    theirs.append(model.score(parts[1] / 16, parts[3]))
    session = onnxruntime.InferenceSession(f"{folder}/digits.onnx")
    scores = session.run(None, {"pixels": (parts[1] / 16).reshape(-1, 1, 8, 8).astype(np.float32)})[0]
    there = float((scores.argmax(1) == parts[3]).mean())
    if abs(there - ours[-1]) > 1e-4:
        sys.exit(f"ONNX Runtime names {there:.4f} of the digits rightly with the exported model, not {ours[-1]:.4f}")
    print(f"digits, split {seed}: {ours[-1]:.4f} of the test pictures right; scikit-learn's MLPClassifier: {theirs[-1]:.4f}")
if np.mean(ours) < np.mean(theirs):
    sys.exit(f"{np.mean(ours):.4f} on average is less than {np.mean(theirs):.4f}")
