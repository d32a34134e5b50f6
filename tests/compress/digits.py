"""Deep Compression on scikit-learn's digits: how much smaller the file gets, and what that costs.

    digits.py PROGRAM FOLDER [train.csv test.csv]"""
import re
import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

program, folder, *given = sys.argv[1:]
if not given:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    given = [f"{folder}/{name}.csv" for name in ("train", "test")]
    for path, pixels, digits in zip(given, parts[:2], parts[2:]):
        np.savetxt(path, np.column_stack([pixels, digits]), fmt="%d", delimiter=",")
for kind, least, options in (("mlp", 15, ["0.88", "4", "30"]), ("cnn", 15, ["0.89", "4", "20"])):
    out = subprocess.run([program, kind, *given, f"{folder}/{kind}.onnx", f"{folder}/{kind}.tenon", *options],
                         check=True, capture_output=True, text=True).stdout
    stages = {k: (float(a), int(b)) for k, a, b in re.findall(r"(\w+): accuracy ([\d.]+), (\d+) bytes", out)}
    (before, plain), (after, small) = stages["trained"], stages["shared"]
    print(f"{kind}: {plain} bytes, {before:.4f} right; {small} bytes, {plain / small:.1f} times fewer, {after:.4f} right")
    if plain < least * small or after < before - 0.005:
        sys.exit(f"{kind}: expected {least} times fewer bytes, and no more than 0.5 % lost\n{out}")
