"""Writes the rows of lib/export/opsets.inc from the schemas of the Python package onnx; with --check FILE, says whether
that file has them all. Rows of opsets that this version of the package does not know yet are left alone."""
import re
import sys
from onnx import TensorProto, defs

# Newer versions that mean more by attributes, inputs and outputs of the same names.
MEANING = {"GroupNormalization": 21, "Pad": 19, "ScatterElements": 18, "ScatterND": 18, "Resize": 19,
           "OptionalHasElement": 18, "OptionalGetElement": 18, "GridSample": 20, "AveragePool": 19, "LpPool": 18}
NUMBERS = {"float": 1, "double": 11} | {k.lower(): v for k, v in TensorProto.DataType.items()}


def attributes(schema):
    return {
        name: (a.type, a.required, a.default_value.SerializeToString() if a.default_value.name else b"")
        for name, a in schema.attributes.items()
    }


def dtypes(parameter):
    found = set()
    for t in parameter.types:
        m = re.search(r"tensor\((\w+)\)", t)
        if m:
            found.add(NUMBERS[m.group(1)])
    return found


def step(newer, older):
    """What `newer` allows and `older` does not: (attributes, inputs, dtypes), or None if they differ in more."""
    a, b = attributes(newer), attributes(older)
    if any(a.get(name) != b[name] for name in b) or any(a[name][1] for name in a if name not in b):
        return None
    shared = len(older.inputs)
    if len(newer.inputs) < shared or len(newer.outputs) != len(older.outputs):
        return None
    pairs = list(zip(newer.inputs, older.inputs)) + list(zip(newer.outputs, older.outputs))
    if any(p.option != q.option or p.min_arity != q.min_arity for p, q in pairs):
        return None
    if any(p.option != defs.OpSchema.FormalParameterOption.Optional for p in newer.inputs[shared:]):
        return None
    more = set().union(*(dtypes(p) - dtypes(q) for p, q in pairs)) if pairs else set()
    return [name for name in a if name not in b], shared if len(newer.inputs) > shared else 0, more


def rows(domain):
    by_name = {}
    for s in defs.get_all_schemas_with_history():
        if s.domain == domain:
            by_name.setdefault(s.name, []).append(s)
    for name, versions in sorted(by_name.items()):
        versions.sort(key=lambda s: -s.since_version)
        if versions[0].deprecated and not domain:
            continue  # the importer makes other operators of them
        versions = [s for s in versions if not s.deprecated]
        last, found = versions[0], []
        for older in versions[1:]:
            change = None if last.since_version <= MEANING.get(name, 0) else step(last, older)
            if change is None:
                break
            new, inputs, more = change
            found += [(last.since_version, n, 0, 0) for n in new]
            if inputs:
                found.append((last.since_version, None, inputs, 0))
            if more:
                found.append((last.since_version, None, 0, sum(1 << d for d in more)))
            last = older
        yield name, last.since_version, None, 0, 0
        for row in sorted(found, key=str):
            yield (name, *row)


def lines():
    for domain in ("", "ai.onnx.ml"):
        for name, since, attribute, inputs, mask in rows(domain):
            text = f'"{attribute}"' if attribute else "NULL"
            yield f'TN_OPSET("{domain}", "{name}", {since}, {text}, {inputs}, {hex(mask)})'


if sys.argv[1:2] == ["--check"]:
    kept = {line.strip() for line in open(sys.argv[2]) if line.startswith("TN_OPSET")}
    made, newest = set(lines()), {}
    for schema in defs.get_all_schemas_with_history():
        key = schema.domain, schema.name
        newest[key] = max(newest.get(key, 0), schema.since_version)
    later = set()
    for line in kept - made:
        domain, name, since = re.match(r'TN_OPSET\("(.*?)", "(.*?)", (\d+), ', line).groups()
        if int(since) > newest.get((domain, name), 0):
            later.add(line)
    wrong = sorted((kept ^ made) - later)
    print("\n".join(wrong) or f"{len(made)} rows of opsets are as the schemas say, {len(later)} are of later ones")
    sys.exit(bool(wrong))
print("\n".join(lines()))
