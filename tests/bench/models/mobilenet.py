"""MobileNetV2 (Sandler et al., arXiv 1801.04381) and MobileNetV3-small (Howard et al., arXiv 1905.02244)."""
from net import Net

# expansion, channels, blocks, stride of the first
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
# kernel, expanded, channels, squeeze and excitation, activation, stride
V3 = [
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
]


def excite(net, x):
    """Squeeze and excitation: each channel is weighed by what the means of all of them say."""
    channels = net.channels[x]
    squeezed = max(8, int(channels / 4 + 4) // 8 * 8)
    squeezed += 8 * (squeezed < 0.9 * channels / 4)
    s = net.conv(net.op("GlobalAveragePool", x), squeezed, 1, act="relu")
    return net.op("Mul", net.conv(s, channels, 1, act="hardsigmoid"), x)


def inverted(net, x, expanded, out, kernel, stride, act, excited=False):
    y = x
    if expanded != net.channels[x]:
        y = net.conv(y, expanded, 1, act=act)
    y = net.conv(y, expanded, kernel, stride, groups=expanded, act=act)
    if excited:
        y = excite(net, y)
    residual = stride == 1 and out == net.channels[x]
    y = net.conv(y, out, 1, gain=(0.5 if residual else 1) * (1.8 if excited else 1))
    return net.op("Add", x, y) if residual else y


def mobilenet_v2(batch):
    net = Net("mobilenetv2")
    x = net.conv(net.input("input", batch, 3, 224, 224), 32, 3, 2, act="relu6")
    for expansion, out, blocks, stride in V2:
        for block in range(blocks):
            x = inverted(net, x, expansion * net.channels[x], out, 3, 1 if block else stride, "relu6")
    x = net.conv(x, 1280, 1, act="relu6")
    net.output(net.linear(net.pooled(x), 1000), "output", batch, 1000)
    return net.model()


def mobilenet_v3_small(batch):
    net = Net("mobilenetv3small")
    x = net.conv(net.input("input", batch, 3, 224, 224), 16, 3, 2, act="hardswish")
    for kernel, expanded, out, excited, act, stride in V3:
        x = inverted(net, x, expanded, out, kernel, stride, act, excited)
    x = net.pooled(net.conv(x, 576, 1, act="hardswish"))
    net.output(net.linear(net.linear(x, 1024, act="hardswish"), 1000), "output", batch, 1000)
    return net.model()


MODELS = {"mobilenetv2": mobilenet_v2, "mobilenetv3small": mobilenet_v3_small}
