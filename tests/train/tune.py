#!/usr/bin/env python3
"""Tuning beside Optuna: the same functions, spaces and numbers of trials, many seeds; medians and quartiles of the best value.

    tune.py [SEEDS [TRIALS]]     20 seeds and 100 trials without them; needs build/libtenon.so and Optuna

Halving stops trials as Optuna's does, or lets them wait (ASHA), which Optuna has not: beside it stands Optuna's as it is.
It fails where the best values of a sampler are significantly worse than Optuna's (Mann-Whitney, one-sided, 1 %)."""
import math
import sys

import numpy as np
import optuna
from scipy.stats import mannwhitneyu
from tenon import tune

optuna.logging.set_verbosity(optuna.logging.WARNING)


def branin(p):
    x, y = p["x0"], p["x1"]
    return ((y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
            + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])


def hartmann6(p):
    x = np.array([p[f"x{i}"] for i in range(6)])
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))


def rosenbrock(p):
    x = [p[f"x{i}"] for i in range(4)]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def ackley(p):
    x = np.array([p[f"x{i}"] for i in range(5)])
    return float(-20 * np.exp(-0.2 * np.sqrt((x * x).mean())) - np.exp(np.cos(2 * np.pi * x).mean()) + 20 + np.e)


def mixed(p):
    """A rate by its logarithm, a whole number, two choices; the best is 0, at 0.01, 32, c and b."""
    rate = abs(math.log10(p["rate"]) + 2)
    return (rate + abs(p["units"] - 32) / 32 + {"a": 1.0, "b": 0.5, "c": 0.0, "d": 2.0}[p["kind"]]
            + (0.3 if p["other"] != "b" else 0) * (1 + rate))


def box(count, *ends):
    return {f"x{i}": ("float", *ends[i % len(ends)]) for i in range(count)}


FUNCTIONS = {
    "Branin": (branin, box(2, (-5, 10), (0, 15))),
    "Hartmann6": (hartmann6, box(6, (0, 1))),
    "Rosenbrock4": (rosenbrock, box(4, (-5, 10))),
    "Ackley5": (ackley, box(5, (-30, 30))),
    "mixed": (mixed, {"rate": ("log", 1e-5, 1), "units": ("int", 4, 128), "kind": ("choice", list("abcd")),
                      "other": ("choice", list("abc"))}),
}
STEPS = 27


def curve(value, seed, step):
    """What a trial that ends at `value` has reached at a step, for halving: it falls towards it, with noise."""
    noise = np.random.default_rng((seed, step, int(abs(value) * 1e6) % 2**31)).normal()
    return value + (1 + abs(value)) * (1 + 0.05 * noise) * (1 / step - 1 / STEPS)


def ours(function, space, seed, trials, sampler, halving):
    study = tune.Study(seed=seed, sampler=sampler, first=1 if halving else 0, reduction=3, promote=halving == "waiting")
    for name, (kind, *of) in space.items():
        if kind == "choice":
            study.add_choice(name, of[0])
        elif kind == "int":
            study.add_int(name, *of)
        else:
            study.add_float(name, *of, log=kind == "log")
    best, steps, asked, reached = math.inf, 0, 0, {}
    while True:
        trial = study.promote()
        if not trial and asked == trials:
            break
        if not trial:
            trial, asked = study.ask(), asked + 1
        value = function(trial.parameters)
        for step in range(reached.get(trial.number, 0) + 1, STEPS + 1 if halving else 0):
            steps += 1
            reached[trial.number] = step
            if not trial.report(step, curve(value, seed, step)):
                break
        else:
            trial.tell(value)
            best = min(best, value)
    return best, steps


def theirs(function, space, seed, trials, sampler, halving):
    made = optuna.samplers.TPESampler(seed=seed) if sampler == "tpe" else optuna.samplers.RandomSampler(seed=seed)
    pruner = (optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3) if halving
              else optuna.pruners.NopPruner())
    study = optuna.create_study(sampler=made, pruner=pruner)
    best, steps = math.inf, 0
    for _ in range(trials):
        trial, p = study.ask(), {}
        for name, (kind, *of) in space.items():
            p[name] = (trial.suggest_categorical(name, of[0]) if kind == "choice" else trial.suggest_int(name, *of)
                       if kind == "int" else trial.suggest_float(name, *of, log=kind == "log"))
        value = function(p)
        for step in range(1, STEPS + 1 if halving else 0):
            steps += 1
            trial.report(curve(value, seed, step), step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
            best = min(best, value)
    return best, steps


def compare(name, function, space, seeds, trials, how, halving):
    both = [[run(function, space, s, trials, how, halving) for s in range(seeds)] for run in (ours, theirs)]
    values = [np.array([v for v, _ in x]) for x in both]
    worse = mannwhitneyu(*values, alternative="greater").pvalue
    texts = ["{1:9.4g} ({0:.4g} to {2:.4g})".format(*np.percentile(v, [25, 50, 75])) for v in values]
    steps = ["{:.0f}".format(np.mean([s for _, s in x])) for x in both]
    label = how + (f" + {halving}" if halving else "")
    print(f"{name:12} {label:14} {' / '.join(texts)}; worse: p = {worse:.2f}"
          + (f"; steps {' / '.join(steps)}" if halving else ""), flush=True)
    return worse >= 0.01


seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
trials = int(sys.argv[2]) if len(sys.argv) > 2 else 100
print(f"the best of {trials} trials, median (quartiles) over {seeds} seeds: Tenon / Optuna {optuna.__version__}")
good = True
for name, (function, space) in FUNCTIONS.items():
    for how, halving in (("tpe", None), ("tpe", "stopping"), ("tpe", "waiting")):
        good &= compare(name, function, space, seeds, trials, how, halving)
sys.exit(0 if good else "worse than Optuna")
