"""Small networks on signals of machines: a recurrent one, a convolutional one, an autoencoder.

- Two LSTM layers of 128 over 100 steps of 64 sensors, as PyTorch exports `nn.LSTM(64, 128, 2, batch_first=True)`.
- WDCNN (Zhang et al., Sensors 17(2), 2017), a first kernel of 64 and then kernels of 3, on 4096 samples of vibration.
- The autoencoder of DCASE and MLPerf Tiny for sounds of machines: 640, 128 three times, 8, 128 three times, 640.
"""
import numpy as np

from net import Net


def lstm(batch, steps=100, read=64, width=128, layers=2):
    net = Net("lstm128")
    x = net.op("Transpose", net.input("input", batch, steps, read), perm=[1, 0, 2])
    rows = net.op("Gather", net.op("Shape", "input"), net.constant([0], np.int64), axis=0)
    shape = net.op("Concat", net.constant([1], np.int64), rows, net.constant([width], np.int64), axis=0)
    state = net.op("Expand", net.constant(0.0), shape)
    for layer in range(layers):
        scale = 1 / np.sqrt(width)
        w = net.weight(net.normal(scale, 1, 4 * width, width if layer else read))
        r, b = net.weight(net.normal(scale, 1, 4 * width, width)), net.weight(net.normal(scale, 1, 8 * width))
        x, _, _ = net.op("LSTM", x, w, r, b, "", state, state, count=3, hidden_size=width)
        x = net.op("Squeeze", x, net.constant([1], np.int64))
    x = net.op("Gather", net.op("Transpose", x, perm=[1, 0, 2]), net.constant(-1, np.int64), axis=1, channels=width)
    net.output(net.linear(x, 10), "output", batch, 10)
    return net.model()


def wdcnn(batch):
    net = Net("wdcnn4096")
    x = net.conv(net.input("input", batch, 1, 4096), 16, 64, 16, act="relu", pads=[24, 24], axes=1)
    for layer, out in enumerate([32, 64, 64, 64, None]):
        x = net.op("MaxPool", x, kernel_shape=[2], strides=[2], pads=[0, 0])
        if out:
            x = net.conv(x, out, 3, act="relu", axes=1, pads=[0, 0] if layer == 3 else None)
    x = net.op("Flatten", x, axis=1, channels=64 * 7)
    net.output(net.linear(net.linear(x, 100, act="relu"), 10), "output", batch, 10)
    return net.model()


def autoencoder(batch):
    net = Net("autoencoder640")
    x = net.input("input", batch, 640)
    for out in (128, 128, 128, 8, 128, 128, 128):
        x = net.linear(x, out, act="relu")
    net.output(net.linear(x, 640), "output", batch, 640)
    return net.model()


MODELS = {"lstm128": lstm, "wdcnn4096": wdcnn, "autoencoder640": autoencoder}
