"""YOLOv8n, a detector of 80 classes, with the decoding of its boxes as its exporter writes it (ultralytics 8)."""
import numpy as np

from net import Net

CLASSES, BINS = 80, 16


def conv(net, x, out, kernel=1, stride=1, gain=1.0):
    return net.conv(x, out, kernel, stride, act="silu", gain=gain)


def c2f(net, x, out, blocks, shortcut):
    half = out // 2
    both = conv(net, x, out)
    parts = net.op("Split", both, net.constant([half, half], np.int64), count=2, axis=1, channels=half)
    for _ in range(blocks):
        y = conv(net, conv(net, parts[-1], half, 3), half, 3, gain=0.5 if shortcut else 1)
        parts.append(net.op("Add", parts[-1], y) if shortcut else y)
    return conv(net, net.op("Concat", *parts, axis=1, channels=half * len(parts)), out)


def pyramid_pooling(net, x):
    half = net.channels[x] // 2
    parts = [conv(net, x, half)]
    for _ in range(3):
        parts.append(net.op("MaxPool", parts[-1], kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1]))
    return conv(net, net.op("Concat", *parts, axis=1, channels=4 * half), 2 * half)


def upsampled(net, x, other):
    scales = net.constant([1, 1, 2, 2])
    y = net.op(
        "Resize", x, "", scales, coordinate_transformation_mode="asymmetric", mode="nearest", nearest_mode="floor"
    )
    return joined(net, y, other)


def joined(net, a, b):
    return net.op("Concat", a, b, axis=1, channels=net.channels[a] + net.channels[b])


def detect(net, maps, size):
    """Boxes and class scores [N, 4 + classes, anchors]; a box side is the mean of a softmax over its bins."""
    shape = net.constant([0, 4 * BINS + CLASSES, -1], np.int64)
    heads = []
    for x in maps:
        box = net.conv(conv(net, conv(net, x, 64, 3), 64, 3), 4 * BINS, 1, gain=0.08)
        score = net.conv(conv(net, conv(net, x, 80, 3), 80, 3), CLASSES, 1)
        heads.append(net.op("Reshape", joined(net, box, score), shape))
    everything = net.op("Concat", *heads, axis=2)
    box, score = net.op("Split", everything, net.constant([4 * BINS, CLASSES], np.int64), count=2, axis=1)
    box = net.op("Reshape", box, net.constant([0, 4, BINS, -1], np.int64))
    box = net.op("Softmax", net.op("Transpose", box, perm=[0, 2, 1, 3]), axis=1)
    means = net.weight(np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1))
    box = net.op("Conv", box, means, kernel_shape=[1, 1])
    box = net.op("Reshape", box, net.constant([0, 4, -1], np.int64))
    start, middle, end, axis = (net.constant([v], np.int64) for v in (0, 2, 4, 1))
    low, high = net.op("Slice", box, start, middle, axis), net.op("Slice", box, middle, end, axis)
    anchors, strides = [], []
    for step in (8, 16, 32):
        at = np.arange(size // step, dtype=np.float32) + 0.5
        y, x = np.meshgrid(at, at, indexing="ij")
        anchors.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full((1, x.size), step, np.float32))
    centre = net.constant(np.concatenate(anchors, 1)[None])
    low, high = net.op("Sub", centre, low), net.op("Add", centre, high)
    middle = net.op("Div", net.op("Add", low, high), net.constant(2.0))
    box = net.op("Concat", middle, net.op("Sub", high, low), axis=1)
    box = net.op("Mul", box, net.constant(np.concatenate(strides, 1)))
    return net.op("Concat", box, net.op("Sigmoid", score), axis=1)


def yolov8n(size):
    def build(batch):
        net = Net(f"yolov8n{size}")
        x = conv(net, conv(net, net.input("images", batch, 3, size, size), 16, 3, 2), 32, 3, 2)
        x = c2f(net, x, 32, 1, True)
        third = c2f(net, conv(net, x, 64, 3, 2), 64, 2, True)
        fourth = c2f(net, conv(net, third, 128, 3, 2), 128, 2, True)
        fifth = c2f(net, conv(net, fourth, 256, 3, 2), 256, 1, True)
        fifth = pyramid_pooling(net, fifth)
        fourth = c2f(net, upsampled(net, fifth, fourth), 128, 1, False)
        third = c2f(net, upsampled(net, fourth, third), 64, 1, False)
        fourth = c2f(net, joined(net, conv(net, third, 64, 3, 2), fourth), 128, 1, False)
        fifth = c2f(net, joined(net, conv(net, fourth, 128, 3, 2), fifth), 256, 1, False)
        anchors = sum((size // step) ** 2 for step in (8, 16, 32))
        net.output(detect(net, [third, fourth, fifth], size), "output0", batch, 4 + CLASSES, anchors)
        return net.model()

    return build


MODELS = {"yolov8n_640": yolov8n(640), "yolov8n_320": yolov8n(320)}
