"""EfficientNet-lite0 (Tan and Le, arXiv 1905.11946, without excitation and with ReLU6, as published for devices).

Its padding is TensorFlow's SAME: with stride 2 the end of each axis has more of it than the start.
"""
from net import Net

# kernel, stride of the first, expansion, channels, blocks
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]


def same(kernel, stride):
    total = kernel - stride  # the sides are even wherever the stride is 2
    return [total // 2] * 2 + [total - total // 2] * 2


def block(net, x, kernel, stride, expansion, out):
    y, width = x, expansion * net.channels[x]
    if expansion > 1:
        y = net.conv(y, width, 1, act="relu6")
    y = net.conv(y, width, kernel, stride, groups=width, act="relu6", pads=same(kernel, stride))
    residual = stride == 1 and out == net.channels[x]
    y = net.conv(y, out, 1, gain=0.5 if residual else 1)
    return net.op("Add", y, x) if residual else y


def efficientnet_lite0(batch):
    net = Net("efficientnetlite0")
    x = net.conv(net.input("images", batch, 3, 224, 224), 32, 3, 2, act="relu6", pads=same(3, 2))
    for kernel, stride, expansion, out, blocks in STAGES:
        for k in range(blocks):
            x = block(net, x, kernel, 1 if k else stride, expansion, out)
    x = net.conv(x, 1280, 1, act="relu6")
    net.output(net.op("Softmax", net.linear(net.pooled(x), 1000, gain=3.0), axis=1), "Softmax", batch, 1000)
    return net.model()


MODELS = {"efficientnetlite0": efficientnet_lite0}
