"""Tests of tenon.Subscription: what the library promises of subscriptions is tested in C; here, that Python reaches it."""
import gc
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np
from test_store import scale

import tenon

BROKER = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


class Subscriptions(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store = tenon.Store.create(self.folder / "models")
        self.x = np.array([1, -2], np.float32)
        self.put("1.0.0", 2)

    def put(self, version, factor):
        self.store.put(scale(factor, self.folder / "file.onnx"), "scale", version)

    def open(self, reference="scale", **options):
        return tenon.Subscription(self.folder / "models", reference, **options)

    def factor(self, sub):
        y = sub.run({"x": self.x})["y"]
        np.testing.assert_array_equal(y, y[0] * self.x)
        return y[0]

    def test_a_new_version_takes_over_and_the_old_one_comes_back(self):
        sub = self.open()
        self.assertEqual(self.factor(sub), 2)
        self.assertFalse(sub.poll())
        self.put("1.1.0", 3)
        self.assertTrue(sub.poll())
        self.assertEqual(self.factor(sub), 3)
        state = sub.state
        self.assertEqual((state.version.version, state.on_trial, state.can_roll_back), ("1.1.0", True, True))
        self.assertEqual((state.requests, state.failures, state.changes, state.blocked), (1, 0, 1, 0))
        sub.rollback()
        self.assertEqual((self.factor(sub), sub.state.rollbacks, sub.state.blocked), (2, 1, 1))
        self.assertFalse(sub.poll())  # it is blocked
        with self.assertRaises(tenon.StateError):
            sub.rollback()

    def test_a_new_version_waits_for_its_window(self):
        opens = time.gmtime(time.time() + 6 * 3600)
        ends = time.gmtime(time.time() + 7 * 3600)
        sub = self.open(window=time.strftime("%H:%M-", opens) + time.strftime("%H:%M UTC", ends))
        self.put("1.1.0", 3)
        self.assertFalse(sub.poll())
        self.assertEqual((self.factor(sub), sub.state.waiting), (2, True))
        sub = self.open("scale:1.0.0", window="Mon-Sun 00:00-24:00")
        sub.follow("scale")
        self.assertTrue(sub.poll())
        self.assertEqual((self.factor(sub), sub.state.waiting), (3, False))
        with self.assertRaisesRegex(tenon.InvalidArgument, "no window"):
            self.open(window="Monday 02:00-04:00")

    def test_a_request_keeps_its_version(self):
        self.put("1.1.0", 3)
        sub = self.open("scale:1.0.0", sessions=2)
        with sub.lease() as first:
            sub.follow("scale:^1.0")
            self.assertTrue(sub.poll())
            with sub.lease() as second:
                self.assertEqual((first.version.version, second.version.version), ("1.0.0", "1.1.0"))
                for lease, factor in ((first, 2), (second, 3)):
                    np.testing.assert_array_equal(lease.run([self.x])[0], factor * self.x)
        with sub.lease(), sub.lease(), self.assertRaises(tenon.LimitExceeded):
            sub.run([self.x])

    def test_failures_on_trial_bring_the_version_before_back(self):
        sub = self.open(trial_requests=5, most_failures=1)
        self.put("1.1.0", 3)
        self.assertTrue(sub.poll())
        for left in (1, 0):
            self.assertEqual(sub.state.version.version, "1.1.0")
            with self.assertRaises(ZeroDivisionError), sub.lease():
                1 / 0
        self.assertEqual((self.factor(sub), sub.state.version.version), (2, "1.0.0"))

    def test_versions_are_warmed_and_checked_first(self):
        seen = []

        def check(version, session):
            seen.append((version.version, session.run([self.x])[0].tolist()))
            if version.version == "1.2.0":
                raise KeyError("what is wrong")
            return version.version != "1.1.0"

        sub = self.open(check=check, warm=[self.x])
        self.put("1.1.0", 3)
        with self.assertRaisesRegex(tenon.CheckFailed, "check refused it"):
            sub.poll()
        self.put("1.2.0", 4)
        with self.assertRaises(tenon.CheckFailed) as caught:
            sub.poll()
        self.assertIsInstance(caught.exception.__cause__, KeyError)
        self.put("1.3.0", 5)
        self.assertTrue(sub.poll())
        self.assertEqual(seen, [(f"1.{i}.0", [i + 2, -2 * i - 4]) for i in range(4)])
        self.assertEqual((self.factor(sub), sub.state.blocked), (5, 2))

    def test_wrong_warm_inputs_and_references_are_refused(self):
        with self.assertRaises(tenon.Error) as caught:
            self.open(warm={"z": self.x})
        self.assertIsInstance(caught.exception.__cause__, tenon.NotFound)
        with self.assertRaises(tenon.NotFound):
            self.open("scale:7.0.0")
        with self.assertRaises(TypeError):
            self.open(mqtt=dict(broker="mqtt://localhost", topic="a", nonsense=1))
        with self.assertRaises(tenon.Error):
            self.open(require_self_test=True)

    def test_another_store_is_looked_into_first(self):
        stick = tenon.Store.create(self.folder / "stick")
        stick.put(scale(9, self.folder / "nine.onnx"), "scale", "1.9.0")
        sub = self.open(from_store=self.folder / "stick")
        self.assertEqual(self.factor(sub), 9)

    def test_threads_run_while_versions_change(self):
        sub, stop, factors = self.open(sessions=3), threading.Event(), set()

        def ask():
            while not stop.is_set():
                factors.add(float(self.factor(sub)))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(1, 8):
            self.put(f"1.{i}.0", 2 + i)
            self.assertTrue(sub.poll())
        while max(factors, default=0) < 9:
            time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertLessEqual(factors, set(range(2, 10)))
        del sub
        gc.collect()

    def test_a_wait_ends_with_its_time_or_a_wake(self):
        sub = self.open()
        self.assertFalse(sub.wait(0.01))
        timer = threading.Timer(0.05, sub.wake)
        timer.start()
        self.assertTrue(sub.wait(60))

    @unittest.skipUnless(BROKER, "no mosquitto")
    def test_an_announcement_wakes(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        listener = f"listener {port} 127.0.0.1\nallow_anonymous true\n"
        (self.folder / "broker.conf").write_text(listener)
        broker = subprocess.Popen([BROKER, "-c", self.folder / "broker.conf"], stderr=subprocess.DEVNULL)
        self.addCleanup(broker.wait)
        self.addCleanup(broker.terminate)
        place = dict(broker=f"mqtt://127.0.0.1:{port}", topic="models/scale")
        sub = self.open(mqtt=dict(place, spread_ms=2, wait_ms=10))
        self.assertTrue(sub.wait(30))  # that it begins to listen counts
        self.put("1.1.0", 3)
        tenon.announce("scale", **place)
        self.assertTrue(sub.wait(30))
        self.assertTrue(sub.poll())
        self.assertEqual(self.factor(sub), 3)
        with self.assertRaises(tenon.Error):
            tenon.announce("scale", broker="mqtt://127.0.0.1:1", topic="models/scale")


if __name__ == "__main__":
    unittest.main()
