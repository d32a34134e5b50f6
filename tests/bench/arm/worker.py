"""worker.py ENGINE MODEL CASE.npz: loads a model, and runs it once between two calls of getppid, with one thread.

The result must be right: CASE holds the inputs and, each with a bar before its name, the outputs.
"""
import os
import sys

import numpy as np

from engines import ENGINES, right

engine, model, case = sys.argv[1:]
with np.load(case) as archive:
    arrays = {name: archive[name] for name in archive.files}
inputs = {name: a for name, a in arrays.items() if name[0] != "|"}
expected = {name[1:]: a for name, a in arrays.items() if name[0] == "|"}
e = ENGINES[engine](1)
e.load(model, inputs)
e.run()  # the first finds some things out
os.getppid()
e.run()
os.getppid()
if not right(e.outputs(), expected, 0.02):
    sys.exit("another result than the case states")
