"""How far outputs may be from ONNX Runtime's, as a part of their largest element, where 1e-4 is too much to ask."""

# Activations are rounded to 8 bits at each run: a last bit of a float tips a whole step over, which is what separates
# ONNX Runtime from itself on other machines, or when its weights change by 2e-7 (by up to 0.06 then).
EIGHT_BITS = "activations are rounded to 8 bits: 2e-7 more in a weight moves ONNX Runtime's own results as far"
STEPS = "sums that lie between two steps of 8 bits fall to either side"
TOLERANCES = {
    "quantized-rec": (0.15, STEPS + "; later layers, normalized in float32, spread it"),
    "quantized-cls": (0.01, STEPS + ": one step of 1/255; ONNX Runtime's softmax divides by 254"),
    "quantized-orientation": (0.025, STEPS + ": one step of 1/255; ONNX Runtime's softmax divides by 254"),
    "quantized-resnet_signed": (0.02, STEPS + ": one step; ONNX Runtime runs some of its convolutions in float32"),
    "rawi": (0.02, EIGHT_BITS),
    "common_old": (0.02, EIGHT_BITS),
    "bilstm": (0.05, EIGHT_BITS),
    "slovorez": (2**-10, "half precision: neighbouring numbers are 1e-3 apart, and either may be rounded to"),
}


def write(folder):
    """Writes the file `tolerance` into a model's folder of test cases if it has one of its own: a number, and why."""
    for part, (number, why) in TOLERANCES.items():
        if part in folder.name:
            (folder / "tolerance").write_text(f"{number:.4g}  {why}\n")
