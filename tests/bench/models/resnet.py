"""ResNet-50 v1.5 (He et al., arXiv 1512.03385; the stride of a stage is in its 3x3 convolution)."""
from net import Net


def bottleneck(net, x, width, stride, first):
    y = net.conv(x, width, 1, act="relu")
    y = net.conv(y, width, 3, stride, act="relu")
    y = net.conv(y, 4 * width, 1, gain=0.5)
    if first:
        x = net.conv(x, 4 * width, 1, stride)
    return net.op("Relu", net.op("Add", y, x))


def resnet50(batch):
    net = Net("resnet50")
    x = net.conv(net.input("input", batch, 3, 224, 224), 64, 7, 2, act="relu")
    x = net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    for stage, blocks in enumerate([3, 4, 6, 3]):
        for block in range(blocks):
            x = bottleneck(net, x, 64 << stage, 2 if stage and not block else 1, not block)
    net.output(net.linear(net.pooled(x), 1000), "output", batch, 1000)
    return net.model()


MODELS = {"resnet50": resnet50}
