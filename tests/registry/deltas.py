"""What changed goes through a real registry, Debian's docker-registry, instead of the file: see check.sh."""
import json
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from servers import Registry, free_port, run_tenon


class Counter:
    """Passes connections on, and counts every byte, headers included, in both directions."""

    def __init__(self, to):
        self.to, self.port, self.bytes = to, free_port(), 0
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                near, far = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.to))
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self.move, args=(a, b), daemon=True).start()
        except OSError:
            pass  # closed

    def move(self, a, b):
        try:
            while data := a.recv(65536):
                self.bytes += len(data)
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side is gone
        a.close()


def save_model(path, weights):
    """A perceptron."""
    nodes, value = [], "x"
    for i in range(len(weights)):
        nodes += [helper.make_node("MatMul", [value, f"w{i}"], [f"p{i}"]), helper.make_node("Relu", [f"p{i}"], [f"y{i}"])]
        value = f"y{i}"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", w.shape[axis]])
            for name, w, axis in (("x", weights[0], 0), (value, weights[-1], 1)))
    graph = helper.make_graph(nodes, "press", [x], [y], [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


class Deltas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = folder = Path(holder.name)
        cls.registry = Registry(folder / "registry")
        cls.addClassCleanup(cls.registry.stop)
        generator = np.random.default_rng(5)
        sizes = [64, 2048, 2048, 1024, 64, 10]
        weights = [generator.normal(0, (2 / a) ** 0.5, (a, b)).astype(np.float32) for a, b in zip(sizes, sizes[1:])]
        cls.store, cls.file = folder / "store", folder / "press.onnx"
        run_tenon("create", cls.store)
        for version in ("1.0.0", "1.1.0"):
            save_model(cls.file, weights)
            run_tenon("put", cls.store, cls.file, f"press:{version}")
            weights[-1] += generator.normal(0, 0.01, weights[-1].shape).astype(np.float32)
        cls.bytes = cls.file.stat().st_size
        run_tenon("delta", cls.store, "press:1.0.0", "press:1.1.0")
        for version in ("1.0.0", "1.1.0"):
            cls.told = json.loads(run_tenon("push", cls.store, f"press:{version}", cls.registry.address("press"), "--json"))

    def edge(self, name):
        folder = self.folder / name
        run_tenon("create", folder)
        run_tenon("pull", folder, self.registry.address("press:1.0.0"))
        return folder

    def same_version(self, store):
        run_tenon("get", store, "press:1.1.0", self.folder / "out")
        self.assertEqual((self.folder / "out").read_bytes(), self.file.read_bytes())
        run_tenon("verify", store)

    def test_a_new_last_layer_of_a_model_of_25_mb_is_less_than_a_thousandth_of_it(self):
        edge, counter = self.edge("edge"), Counter(self.registry.port)
        self.addCleanup(counter.listener.close)
        told = json.loads(run_tenon("pull", edge, f"127.0.0.1:{counter.port}/press:1.1.0", "--json"))
        self.assertEqual((self.told["deltas"], told["deltas"]), (1, 1))
        self.assertGreater(self.bytes, 25e6)
        self.assertLess(counter.bytes, self.bytes / 1000)
        print(f"{counter.bytes} bytes over HTTP for a model of {self.bytes}: {100 * counter.bytes / self.bytes:.3f} %")
        self.same_version(edge)

    def test_the_host_says_how_much_may_come(self):
        edge = self.edge("edge-budget")
        small, large = self.registry.address("press:1.1.0"), self.registry.address("alone:1.1.0")
        subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{small}",
                        f"docker://{large}"], check=True)  # and nothing that lies beside it
        self.assertIn("options.most_bytes", run_tenon("pull", edge, large, "--most", "2000000", code=1))
        run_tenon("pull", edge, small, "--most", "2000000")
        self.same_version(edge)
        other = self.edge("edge-whole")
        self.assertEqual(json.loads(run_tenon("pull", other, large, "--json"))["deltas"], 0)
        self.same_version(other)

    def test_other_clients_see_an_artifact(self):
        digest = self.told["digest"].replace(":", "-")
        index = json.loads(subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                                           f"docker://{self.registry.address('press')}:{digest}"], check=True, capture_output=True).stdout)
        entry, = index["manifests"]
        self.assertEqual(entry["artifactType"], "application/vnd.tenon.delta.v1")
        subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false",
                        f"docker://{self.registry.address('press')}@{entry['digest']}", f"oci:{self.folder}/artifact:delta"], check=True)
        blob = entry["annotations"]["org.tenon.delta.blob"].removeprefix("sha256:")
        size = (self.folder / "artifact/blobs/sha256" / blob).stat().st_size
        self.assertEqual(size, int(entry["annotations"]["org.tenon.delta.size"]))


if __name__ == "__main__":
    unittest.main()
