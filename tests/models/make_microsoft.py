"""Writes test cases of the operators of com.microsoft: models of one node, random inputs, and what ONNX Runtime makes of
them, into build/models/cases/microsoft/test_<name>. An argument names a part of the names to make.

Each case is made twice where it has weights: with them as constants, and (`_dynamic`) as inputs.
"""
import pathlib
import sys

import numpy as np
from onnx import helper, numpy_helper

import runtime

OUT = pathlib.Path("build/models/cases/microsoft")
random = np.random.default_rng(11)
made = 0


def f32(*shape, scale=1.0):
    return (scale * random.standard_normal(shape)).astype(np.float32)


def f16(*shape):
    return f32(*shape).astype(np.float16)


def integers(dtype, *shape, low=None, high=None):
    limits = np.iinfo(dtype)
    if dtype == np.int8 and runtime.saturates():  # 7 bits
        low, high = -64 if low is None else low, 63 if high is None else high
    return random.integers(limits.min if low is None else low, limits.max + 1 if high is None else high, shape).astype(dtype)


def one(value, dtype=np.float32):
    return np.array(value, dtype)


def save(path, name, array):
    path.write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())


def write(name, node, feed, constants, opset):
    values = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feed.items()]
    graph = helper.make_graph(
        [node],
        name,
        values,
        [helper.make_empty_tensor_value_info(o) for o in node.output if o],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()
    session = runtime.session(model, optimize=False)
    folder = OUT / ("test_" + name)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    for k, (key, array) in enumerate(feed.items()):
        save(data / f"input_{k}.pb", key, array)
    for k, array in enumerate(session.run(None, feed)):
        save(data / f"output_{k}.pb", session.get_outputs()[k].name, array)


def case(name, operator, inputs, outputs=1, weights=(), version=17, domain="com.microsoft", **attributes):
    """inputs: arrays, or None where one is left out. weights: the positions of those that models hold as constants."""
    global made
    if len(sys.argv) > 1 and sys.argv[1] not in name:
        return
    names = ["" if x is None else f"x{k}" for k, x in enumerate(inputs)]
    wanted = outputs if isinstance(outputs, (list, tuple)) else [f"y{k}" for k in range(outputs)]
    node = helper.make_node(operator, names, wanted, domain=domain, **attributes)
    given = {n: x for n, x in zip(names, inputs) if n}
    constants = {names[k]: inputs[k] for k in weights}
    write(name, node, {k: v for k, v in given.items() if k not in constants}, constants, version)
    if constants:
        write(name + "_dynamic", node, given, {}, version)
    made += 1 + bool(constants)


# ---- activations, normalisations, products ----
case("gelu", "Gelu", [f32(3, 70)])
case("quick_gelu", "QuickGelu", [f32(3, 70)], alpha=1.702)
case("quick_gelu_alpha", "QuickGelu", [f32(3, 70)], alpha=0.5)
case("bias_gelu", "BiasGelu", [f32(2, 3, 40), f32(40)], weights=[1])
case("fast_gelu", "FastGelu", [f32(2, 3, 40)])
case("fast_gelu_bias", "FastGelu", [f32(2, 3, 40), f32(40)], weights=[1])
for kind in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
    beta = kind == "SkipLayerNormalization"
    title = "skip_norm" if beta else "skip_rms_norm"
    row = lambda: [f32(48)] if beta else []
    case(title, kind, [f32(2, 5, 48), f32(2, 5, 48), f32(48), *row()], epsilon=1e-5)
    case(title + "_bias_sum", kind, [f32(2, 5, 48), f32(2, 5, 48), f32(48), *row(), f32(48)], outputs=["y", "", "", "sum"], epsilon=1e-5)
    case(title + "_repeated", kind, [f32(2, 5, 48), f32(1, 5, 48), f32(48), *row()], epsilon=1e-3)
    case(title + "_rows", kind, [f32(2, 5, 48), f32(5, 48), f32(48), *row()], epsilon=1e-3)
case("skip_norm_no_beta", "SkipLayerNormalization", [f32(2, 5, 48), f32(2, 5, 48), f32(48)], epsilon=1e-5)
case("rms_norm", "SimplifiedLayerNormalization", [f32(2, 5, 48), f32(48)], domain="", epsilon=1e-5)
case("rms_norm_axis", "SimplifiedLayerNormalization", [f32(2, 5, 48), f32(5, 48)], domain="", axis=1, epsilon=1e-5)
ids = lambda *shape, high=20: integers(np.int32, *shape, low=0, high=high)
tables = [f32(20, 32), f32(16, 32), f32(2, 32), f32(32), f32(32)]
case("embed_norm", "EmbedLayerNormalization", [ids(2, 6), ids(2, 6, high=2), *tables], outputs=2, weights=[2, 3, 4])
case("embed_norm_mask", "EmbedLayerNormalization", [ids(2, 6), ids(2, 6, high=2), *tables, np.array([[1] * 6, [1] * 4 + [0] * 2], np.int32)], outputs=3)
case("embed_norm_no_segments", "EmbedLayerNormalization", [ids(2, 6), None, *tables[:2], None, *tables[3:]], outputs=2)
case("embed_norm_positions", "EmbedLayerNormalization", [ids(2, 6), ids(2, 6, high=2), *tables, None, ids(2, 6, high=16)], outputs=2)
case("embed_norm_shared_positions", "EmbedLayerNormalization", [ids(2, 6), ids(2, 6, high=2), *tables, None, ids(1, 6, high=16)], outputs=2)

case("fused_matmul", "FusedMatMul", [f32(2, 5, 7), f32(2, 7, 6)], alpha=0.5)
case("fused_matmul_trans", "FusedMatMul", [f32(2, 7, 5), f32(2, 6, 7)], transA=1, transB=1, alpha=2.0)
case("fused_matmul_batch", "FusedMatMul", [f32(5, 2, 7), f32(7, 2, 6)], transBatchA=1, transBatchB=1)
case("fused_matmul_batch_trans", "FusedMatMul", [f32(7, 2, 5), f32(2, 6, 7)], transBatchA=1, transA=1, transB=1)
case("fused_matmul_broadcast", "FusedMatMul", [f32(3, 2, 5, 7), f32(6, 7)], transB=1, weights=[1])
case("transpose_matmul", "TransposeMatMul", [f32(7, 5), f32(7, 6)], transA=1)
for activation in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Elu", "ThresholdedRelu", "Softplus", "Softsign", "ParametricSoftplus", "ScaledTanh"):
    case("fused_gemm_" + activation.lower(), "FusedGemm", [f32(5, 7), f32(6, 7), f32(6)], weights=[1, 2], transB=1, alpha=0.5, activation=activation, **({"activation_alpha": 0.3, "activation_beta": 0.4} if activation in ("LeakyRelu", "HardSigmoid", "Elu", "ThresholdedRelu", "ParametricSoftplus", "ScaledTanh") else {}))
for activation, parameters in {"Relu": None, "Clip": [-0.5, 0.7], "LeakyRelu": [0.2], "Sigmoid": None, "Tanh": None, "HardSigmoid": [0.3, 0.4]}.items():
    extra = {"activation": activation, **({"activation_params": parameters} if parameters else {})}
    case("fused_conv_" + activation.lower(), "FusedConv", [f32(2, 3, 9, 8), f32(8, 3, 3, 3), f32(8)], weights=[1, 2], pads=[1, 1, 1, 1], **extra)
case("fused_conv_sum", "FusedConv", [f32(2, 3, 9, 8), f32(8, 3, 3, 3), f32(8), f32(2, 8, 9, 8)], weights=[1, 2], pads=[1, 1, 1, 1], activation="Relu")

# ---- quantized: scales with no small common factor, so that nothing lies half-way between two integers ----
u8, i8, i32 = np.uint8, np.int8, np.int32
for dtype in (u8, i8):
    t = np.dtype(dtype).name
    x = lambda *shape: integers(dtype, *shape)
    s, z = one, lambda v: one(v if dtype is u8 else v - 128, dtype)
    for operator in ("QLinearAdd", "QLinearMul"):
        title = operator[7:].lower()
        case(f"qlinear_{title}_{t}", operator, [x(2, 3, 50), s(0.0317), z(120), x(2, 3, 50), s(0.0512), z(100), s(0.0634 if title == "add" else 0.1109), z(130)])
        case(f"qlinear_{title}_{t}_scalar", operator, [x(2, 3, 50), s(0.0317), z(120), x(1), s(0.0512), z(100), s(0.0708), z(130)])
        case(f"qlinear_{title}_{t}_broadcast", operator, [x(2, 3, 1), s(0.0317), z(120), x(3, 70), s(0.0512), z(100), s(0.0708), z(130)])
    case(f"qlinear_sigmoid_{t}", "QLinearSigmoid", [x(700), s(0.05), z(120), s(1 / 256), z(0)])
    case(f"qlinear_leaky_relu_{t}", "QLinearLeakyRelu", [x(700), s(0.05), z(120), s(0.04), z(90)], alpha=0.2)
    case(f"qlinear_softmax_{t}", "QLinearSoftmax", [x(5, 70), s(0.05), z(120), s(1 / 256), z(0)], opset=13, axis=-1)
    case(f"qlinear_softmax_{t}_axis", "QLinearSoftmax", [x(5, 7, 9), s(0.05), z(120), s(1 / 256), z(0)], axis=1, opset=13)
    case(f"qlinear_where_{t}", "QLinearWhere", [random.random((3, 50)) < 0.5, x(3, 50), s(0.03), z(120), x(1, 50), s(0.05), z(90), s(0.045), z(110)])
    case(f"qlinear_concat_{t}", "QLinearConcat", [s(0.04), z(110), x(2, 3, 5), s(0.03), z(120), x(2, 4, 5), s(0.05), z(100)], axis=1)
    for last in (0, 1):
        shape = (2, 8, 9, 5) if last else (2, 5, 8, 9)
        suffix = f"{t}{'_last' if last else ''}"
        case(f"qlinear_average_pool_{suffix}", "QLinearAveragePool", [x(*shape), s(0.0317), z(120), s(0.0213), z(110)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], channels_last=last)
        case(f"qlinear_average_pool_pad_{suffix}", "QLinearAveragePool", [x(*shape), s(0.0317), z(120), s(0.0213), z(110)], kernel_shape=[2, 3], pads=[1, 1, 1, 1], count_include_pad=1, channels_last=last)
        case(f"qlinear_global_average_pool_{suffix}", "QLinearGlobalAveragePool", [x(*shape), s(0.03), z(120), s(0.01), z(110)], channels_last=last)
    case(f"qgemm_{t}", "QGemm", [x(5, 20), s(0.02), z(100), integers(dtype, 20, 7), s(0.03), z(90), integers(i32, 7, low=-5000, high=5000), s(0.4), z(120)], weights=[3, 6])
    case(f"qgemm_{t}_float", "QGemm", [x(5, 20), s(0.02), z(100), integers(dtype, 7, 20), s(0.03), z(90), integers(i32, 7, low=-5000, high=5000), None, None], transB=1, weights=[3, 6])
    case(f"qgemm_{t}_alpha", "QGemm", [x(5, 20), s(0.02), z(100), integers(dtype, 20, 7), s(0.03), z(90), None, s(0.4), z(120)], alpha=0.5)
    case(f"matmul_integer_to_float_{t}", "MatMulIntegerToFloat", [x(5, 20), integers(dtype, 20, 7), s(0.02), s(0.03), z(100), z(90), f32(7)], weights=[1])
    case(f"matmul_integer_to_float_{t}_columns", "MatMulIntegerToFloat", [x(2, 5, 20), integers(dtype, 20, 7), s(0.02), np.abs(f32(7)), z(100), integers(dtype, 7)], weights=[1])
    case(f"dynamic_matmul_{t}", "DynamicQuantizeMatMul", [f32(5, 20), integers(dtype, 20, 7), s(0.03), z(90), f32(7)], weights=[1])
    case(f"dynamic_matmul_{t}_columns", "DynamicQuantizeMatMul", [f32(5, 20), integers(dtype, 20, 7), np.abs(f32(7)), integers(dtype, 7)], weights=[1])
    case(f"quantize_{t}", "QuantizeLinear", [f32(3, 50, scale=3), s(0.03), z(120)])
    case(f"dequantize_{t}", "DequantizeLinear", [x(3, 50), s(0.03), z(120)])
    case(f"nhwc_max_pool_{t}", "NhwcMaxPool", [x(2, 8, 9, 5)], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    case(f"qlinear_conv_last_{t}", "QLinearConv", [x(2, 8, 9, 6), s(0.03), z(120), integers(i8, 8, 6, 3, 3), np.abs(f32(8, scale=0.01)) + np.float32(1e-3), np.zeros(8, i8), s(0.2), z(110), integers(i32, 8, low=-3000, high=3000)], weights=[3, 4, 5, 8], channels_last=1, pads=[1, 1, 1, 1])
    case(f"qlinear_conv_{t}", "QLinearConv", [x(2, 6, 8, 9), s(0.03), z(120), integers(i8, 8, 3, 3, 3), s(0.01), one(0, i8), s(0.2), z(110)], weights=[3, 4, 5], group=2)
case("quantize_axis", "QuantizeLinear", [f32(3, 50), np.abs(f32(3)), np.zeros(3, i8)], axis=0)
case("dequantize_int32", "DequantizeLinear", [integers(i32, 3, 50, low=-9000, high=9000), one(0.03), one(0, i32)])
case("quantize_uint16", "QuantizeLinear", [f32(3, 50, scale=9), one(0.0003), one(30000, np.uint16)])
case("dequantize_int16", "DequantizeLinear", [integers(np.int16, 3, 50), one(0.0003), one(-300, np.int16)])
case("matmul_integer_mixed", "MatMulIntegerToFloat", [integers(u8, 5, 20), integers(i8, 20, 7), one(0.02), one(0.03), one(100, u8)], weights=[1])


def packed_lstm(directions, size, hidden):
    w, r = (integers(i8, directions, k, 4 * hidden) for k in (size, hidden))
    scales = [np.full(directions, 0.01, np.float32), np.zeros(directions, i8)]
    return w, r, scales


for directions, name in ((1, "forward"), (2, "bidirectional"), (1, "reverse")):
    w, r, scale = packed_lstm(directions, 10, 16)
    inputs = [f32(6, 2, 10), w, r, f32(directions, 128), None, None, None, None, *scale, *scale]
    case("dynamic_lstm_" + name, "DynamicQuantizeLSTM", inputs, outputs=3, weights=[1, 2], direction=name, hidden_size=16)

# ---- attention ----
for name, mask in {
    "": None,
    "_lengths": np.array([5, 3], i32),
    "_ends_starts": np.array([5, 4, 0, 1], i32),
    "_mask": np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], i32),
    "_mask3": np.tril(np.ones((2, 5, 5), i32)),
}.items():
    case("attention" + name, "Attention", [f32(2, 5, 16), f32(16, 48), f32(48), mask], weights=[1, 2], num_heads=4)
    query = [f32(2, 5, 16), f32(2, 5, 16), f32(2, 5, 16), f32(48)]
    if name != "_ends_starts":
        case("mha" + name, "MultiHeadAttention", [*query, mask], num_heads=4)
case("attention_causal", "Attention", [f32(2, 5, 16), f32(16, 48), f32(48)], unidirectional=1, num_heads=2, scale=0.3)
case("attention_sizes", "Attention", [f32(2, 5, 16), f32(16, 32), f32(32)], qkv_hidden_sizes=[8, 8, 16], num_heads=2)
case("attention_past", "Attention", [f32(2, 1, 16), f32(16, 48), f32(48), None, f32(2, 2, 4, 6, 4)], outputs=2, unidirectional=1, num_heads=4)
case("attention_bias", "Attention", [f32(2, 5, 16), f32(16, 48), f32(48), None, None, f32(2, 4, 5, 5)], num_heads=4)
case("attention_bias_shared", "Attention", [f32(2, 5, 16), f32(16, 48), f32(48), None, None, f32(1, 1, 5, 5)], num_heads=4)
heads = lambda *shape: f32(*shape)
case("mha_cross", "MultiHeadAttention", [f32(2, 5, 16), f32(2, 7, 16), f32(2, 7, 24)], num_heads=4)
case("mha_no_bias", "MultiHeadAttention", [f32(2, 5, 16), f32(2, 5, 16), f32(2, 5, 16)], num_heads=4, unidirectional=1)
case("mha_bias_scores", "MultiHeadAttention", [f32(2, 5, 16), f32(2, 7, 16), f32(2, 7, 16), None, None, f32(1, 4, 5, 7)], num_heads=4)
case("mha_heads_first", "MultiHeadAttention", [f32(2, 5, 16), f32(2, 4, 7, 4), f32(2, 4, 7, 4)], num_heads=4)
case("mha_past", "MultiHeadAttention", [f32(2, 1, 16), f32(2, 1, 16), f32(2, 1, 16), f32(48), None, None, f32(2, 4, 6, 4), f32(2, 4, 6, 4)], outputs=3, num_heads=4)
case("mha_past_long", "MultiHeadAttention", [f32(2, 3, 16), f32(2, 3, 16), f32(2, 3, 16), None, None, None, f32(2, 4, 6, 4), f32(2, 4, 6, 4)], outputs=3, num_heads=4, unidirectional=1)

turned = np.arange(32)[:, None] / 10000 ** (np.arange(4)[None] / 4)
caches = [np.cos(turned).astype(np.float32), np.sin(turned).astype(np.float32)]
at = lambda *v: np.array(v, np.int64)
case("rotary", "RotaryEmbedding", [f32(2, 3, 16), at(4), *caches])
case("rotary_positions", "RotaryEmbedding", [f32(2, 3, 16), at(1, 2, 3, 7, 8, 9).reshape(2, 3), *caches], interleaved=1)
case("rotary_heads", "RotaryEmbedding", [f32(2, 4, 3, 8), at(0), *caches])
case("rotary_part", "RotaryEmbedding", [f32(2, 3, 48), at(4), *caches], num_heads=4, rotary_embedding_dim=8)


wide = np.arange(80)[:, None] / 10000 ** (np.arange(8)[None] / 8)
wide = [np.cos(wide).astype(np.float32), np.sin(wide).astype(np.float32)]


def gqa(name, length, past, total, lengths, heads=4, kv=2, size=16, shared=0, merged=False, extra=(), **attributes):
    b = len(lengths)
    q, k = (lambda n: f32(b, length, n * size)), kv
    new = [q(heads + 2 * kv), None, None] if merged else [q(heads), q(kv), q(kv)]
    old = [f32(b, kv, past + shared, size) for _ in range(2)] if past + shared else [None, None]
    turn = wide if attributes.get("do_rotary") else [None, None]
    inputs = [*new, *old, np.array(lengths, i32), one(total, i32), *turn, *extra]
    case("gqa_" + name, "GroupQueryAttention", inputs, outputs=3, weights=[6], num_heads=heads, kv_num_heads=kv, **attributes)


gqa("prompt", 5, 0, 5, [4, 4])
gqa("prompt_rotary", 5, 0, 5, [4, 4], do_rotary=1)
gqa("prompt_merged", 5, 0, 5, [4, 4], merged=True, do_rotary=1)
gqa("prompt_part_rotary", 5, 0, 5, [4, 4], size=32, do_rotary=1, rotary_interleaved=1)
gqa("prompt_long", 70, 0, 70, [69], size=32)
gqa("token", 1, 6, 7, [6, 6], do_rotary=1)
gqa("token_interleaved", 1, 6, 7, [6, 6], merged=True, do_rotary=1, rotary_interleaved=1)
gqa("token_ragged", 1, 6, 7, [6, 3], do_rotary=1)
gqa("token_buffer", 1, 6, 7, [6, 6], shared=4, do_rotary=1)
gqa("chunk", 3, 6, 9, [8], do_rotary=1)
gqa("prompt_buffer", 5, 0, 5, [4, 4], shared=9)
gqa("window", 5, 0, 5, [4, 4], local_window_size=2)
gqa("window_token", 1, 6, 7, [6, 6], local_window_size=3)
gqa("softcap", 5, 0, 5, [4, 4], softcap=2.0, scale=0.5)
gqa("smooth", 5, 0, 5, [4, 4], smooth_softmax=1)
gqa("sinks", 1, 6, 7, [6, 6], extra=[None, None, f32(4)])
gqa("positions", 3, 0, 3, [2, 2], do_rotary=1, extra=[at(3, 4, 5, 3, 4, 5).reshape(2, 3)])
gqa("bias", 3, 0, 3, [2, 2], extra=[None, f32(2, 1, 3, 3)])
gqa("bias_token", 1, 6, 7, [6, 6], extra=[None, f32(1, 4, 1, 7)])

for dtype in (u8, i8):
    t = np.dtype(dtype).name
    quantized = [integers(u8, 2, 5, 16), integers(dtype, 16, 48), f32(48), one(0.02), one(0.01), None, one(120, u8), one(3, dtype)]
    case(f"qattention_{t}", "QAttention", quantized, weights=[1, 2], num_heads=4)
    case(f"qattention_{t}_mask", "QAttention", [*quantized[:5], np.array([5, 3], i32), *quantized[6:]], weights=[1, 2], num_heads=4)
    columns = [*quantized[:4], np.abs(f32(48, scale=0.01)), None, one(120, u8), integers(dtype, 48, low=0, high=9)]
    case(f"qattention_{t}_columns", "QAttention", columns, weights=[1, 2, 4, 7], num_heads=4, unidirectional=1)
case("qattention_past", "QAttention", [*quantized, f32(2, 2, 4, 6, 4)], outputs=2, weights=[1, 2], num_heads=4, unidirectional=1)
tables = [integers(u8, *shape) for shape in ((20, 32), (16, 32), (2, 32), (32,), (32,))]
scales = [*[one(0.01 + 0.002 * k) for k in range(5)], *[one(100 + k, u8) for k in range(5)]]
case("qembed_norm", "QEmbedLayerNormalization", [ids(2, 6), ids(2, 6, high=2), *tables, np.array([[1] * 6, [1] * 4 + [0] * 2], i32), *scales], outputs=2, weights=[2, 3, 4, 5, 6])

# ---- text ----
words = np.array([["The quick-brown fox, naïve: über"], ["a b  cc"], ["x"]], dtype=object)
case("tokenizer_words", "Tokenizer", [words], mark=0, mincharnum=1, pad_value="#", tokenexp="[a-zA-Z0-9_]+")
case("tokenizer_longest", "Tokenizer", [words], mark=1, mincharnum=2, pad_value="", tokenexp="q|qu|[a-z]{2}|ick|ü.*")
case("tokenizer_line", "Tokenizer", [words[:, 0]], mark=1, mincharnum=3, pad_value="#", tokenexp="[^ ]+")
case("tokenizer_characters", "Tokenizer", [words], mark=0, mincharnum=1, pad_value="#", separators=[""])
case("tokenizer_dots", "Tokenizer", [words], mark=0, mincharnum=1, pad_value="#", tokenexp=".")
case("tokenizer_separators", "Tokenizer", [words], mark=0, mincharnum=2, pad_value="#", separators=[" +", "[-:,]"])
case("tokenizer_none", "Tokenizer", [words], mark=0, mincharnum=1, pad_value="#", tokenexp="[0-9]+")

# ---- other names of operators of ai.onnx ----
case("trilu", "Trilu", [f32(2, 5, 6), one(1, np.int64)], upper=0)
case("gather_nd", "GatherND", [f32(4, 5, 6), integers(np.int64, 3, 2, low=0, high=4)])
case("range", "Range", [one(2.0), one(9.0), one(0.5)])
case("range_no_step", "Range", [one(2, np.int64), one(9, np.int64)])
case("expand_dims", "ExpandDims", [f32(2, 3), one(-1, i32)], weights=[1])
case("pad", "Pad", [f32(2, 3), np.array([1, 0, 0, 2], np.int64), one(7.0)], weights=[1])
case("pad_reflect", "Pad", [f32(5, 6), np.array([[1, 0, 0, 2]], np.int64)], mode="reflect")
case("unique", "Unique", [integers(i32, 30, low=0, high=6).astype(np.float32)], outputs=3)
for mode in ("bilinear", "nearest", "bicubic"):
    case("grid_sample_" + mode, "GridSample", [f32(1, 2, 6, 7), random.uniform(-1.2, 1.2, (1, 4, 5, 2)).astype(np.float32)], mode=mode, padding_mode="zeros" if mode == "bicubic" else "border", align_corners=1)
case("cdist", "CDist", [f32(9, 5), f32(7, 5)], metric="euclidean")
case("cdist_squares", "CDist", [f32(9, 5), f32(7, 5)], metric="sqeuclidean")
case("cdist_double", "CDist", [f32(9, 5).astype(np.float64), f32(7, 5).astype(np.float64)], metric="euclidean")
case("inverse", "Inverse", [f32(3, 2, 5, 5)])
case("inverse_double", "Inverse", [f32(6, 6).astype(np.float64)])

# ---- ai.onnx before its first opsets ----
early = dict(domain="", version=7)
case("affine", "Affine", [f32(2, 3)], alpha=2.0, beta=0.5, **early)
case("image_scaler", "ImageScaler", [f32(2, 3, 4, 5)], scale=0.5, bias=[0.1, -0.2, 0.3], **early)
case("scaled_tanh", "ScaledTanh", [f32(2, 3)], alpha=1.7, beta=0.6, **early)
case("parametric_softplus", "ParametricSoftplus", [f32(2, 30)], alpha=1.7, beta=0.6, **early)
case("crop", "Crop", [f32(1, 2, 9, 8)], border=[1, 2, 3, 0], **early)
case("crop_scale", "Crop", [f32(1, 2, 9, 8)], border=[1, 2, 0, 0], scale=[4, 5], **early)

print(made, "cases")
