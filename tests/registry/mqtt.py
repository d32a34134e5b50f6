"""Announcements by a real broker, Debian's mosquitto: see check.sh. Polls are an hour apart here, so what arrives was heard."""
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from servers import COMMAND, EXAMPLES, ROOT, USER, Broker, Registry, free_port, make_certificates, run_tenon

VALVE = ROOT / "tests/golden/v1.1-self-test.tenon"


class Announcements(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = folder = Path(holder.name)
        cls.registry = Registry(folder / "registry")
        cls.addClassCleanup(cls.registry.stop)
        cls.ca, certificate, key = make_certificates(folder)
        subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", *USER.split(":")], check=True, capture_output=True)
        cls.plain = Broker(folder / "plain")
        # Started as root it becomes another user, who has to read these.
        for path in (folder, folder / "passwords", certificate, key):
            path.chmod(0o755)
        cls.tls = Broker(folder / "tls", (f"cafile {cls.ca}", f"certfile {certificate}", f"keyfile {key}", "allow_anonymous false",
                                          f"password_file {folder}/passwords"))
        for broker in (cls.plain, cls.tls):
            cls.addClassCleanup(broker.stop)
        cls.store, cls.keys = folder / "store", folder / "keys"
        run_tenon("create", cls.store)
        run_tenon("trust", cls.store, "init", cls.keys)
        cls.repository = cls.registry.address("valve")
        cls.number = 0
        cls.new_version()
        run_tenon("promote", cls.store, "valve", "stable", cls.keys)

    @classmethod
    def new_version(cls):
        cls.number += 1
        version = f"1.{cls.number}.0"
        run_tenon("put", cls.store, VALVE, f"valve:{version}")
        run_tenon("push", cls.store, f"valve:{version}", cls.repository)
        return version

    def mqtt(self, broker, scheme="mqtt"):
        return "--mqtt", f"{scheme}://127.0.0.1:{broker.port}", "--topic", "models/valve"

    def edge(self, name):
        folder = self.folder / name
        run_tenon("create", folder)
        run_tenon("trust", folder, "accept", self.store / "trust/1.root.json")
        return folder

    def follow(self, edge, *options, **environment):
        words = COMMAND, "store", "follow", edge, "valve@stable", self.store / "trust", self.repository, *options
        running = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **environment})
        self.addCleanup(lambda: (running.kill(), running.communicate()))
        return running

    def test_a_follower_is_woken_also_by_a_broker_that_died_and_came_back(self):
        broker = Broker(self.folder / "back")
        self.addCleanup(lambda: broker.stop())
        running = self.follow(self.edge("edge"), *self.mqtt(broker))
        running.stdout.readline()
        version = self.new_version()
        run_tenon("promote", self.store, "valve", "stable", self.keys, *self.mqtt(broker))
        self.assertIn(f"valve:{version}", running.stdout.readline())
        broker.stop()
        # What is published meanwhile is found when the broker is back, though nobody could announce it.
        version = self.new_version()
        run_tenon("promote", self.store, "valve", "stable", self.keys)
        broker.start()
        self.assertIn(f"valve:{version}", running.stdout.readline())
        version = self.new_version()
        run_tenon("promote", self.store, "valve", "stable", self.keys, *self.mqtt(broker))
        self.assertIn(f"valve:{version}", running.stdout.readline())

    def test_a_follower_looks_in_its_window_alone(self):
        def at(hours):
            return time.strftime("%H:%M", time.gmtime(time.time() + 3600 * hours))

        closed = self.follow(self.edge("edge-closed"), "--every", "1", "--window", f"{at(6)}-{at(7)} UTC")
        opened = self.follow(self.edge("edge-open"), "--every", "1", "--window", f"Mon-Sun 00:00-24:00; {at(6)}-{at(7)} UTC")
        self.assertIn("valve:", opened.stdout.readline())
        self.assertIsNone(closed.poll())
        closed.kill()
        self.assertEqual(("", ""), closed.communicate())
        for words, said in ((("--every", "1", "--window", "at night"), "no window"), (("--window", "01:00-02:00"), "--every")):
            refused = self.follow(self.edge(f"edge-{len(words)}"), *words)
            self.assertIn(said, refused.communicate()[1])
            self.assertEqual(refused.returncode, 1)

    def test_tls_and_passwords(self):
        words = "promote", self.store, "valve", "stable", self.keys, *self.mqtt(self.tls, "mqtts")
        ca, user = ("--mqtt-ca", self.ca), ("--mqtt-user", USER)

        def told(*more):
            done = subprocess.run([COMMAND, "store", *map(str, (*words, *more))], capture_output=True, text=True, check=True)
            self.assertNotIn("sesame", done.stdout + done.stderr)
            return done.stderr

        self.assertIn("not announced", told(*user))  # an authority that nobody knows
        self.assertIn("not announced", told(*ca))
        self.assertIn("not announced", told(*ca, "--mqtt-user", "edge:close"))
        self.assertEqual("", told(*ca, *user))
        running = self.follow(self.edge("edge-tls"), *self.mqtt(self.tls, "mqtts"), *ca, *user)
        running.stdout.readline()
        version = self.new_version()
        self.assertEqual("", told(*ca, *user))
        self.assertIn(f"valve:{version}", running.stdout.readline())

    def test_a_model_changes_over_while_it_runs(self):
        edge = self.edge("edge-runs")
        before = self.new_version()
        run_tenon("promote", self.store, "valve", "stable", self.keys)
        words = [EXAMPLES / "follow_model", edge, "valve@stable", "300", self.store / "trust", self.repository,
                 self.mqtt(self.plain)[1], "models/valve"]
        running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.assertIn(before, running.stdout.readline())
        time.sleep(1.5)  # past what its first look and the beginning of listening wake it for
        version = self.new_version()
        run_tenon("promote", self.store, "valve", "stable", self.keys, *self.mqtt(self.plain))
        said = running.communicate(timeout=60)[0]
        self.assertRegex(said, f"cycle [0-9]+: version {version}\n1 changes, 0 failures")

    def test_without_the_library_or_a_broker_it_polls_as_ever(self):
        """dlopen finds no libmosquitto: an empty file stands in its place."""
        empty = self.folder / "empty"
        empty.mkdir()
        (empty / "libmosquitto.so.1").write_bytes(b"")
        cases = ({"LD_LIBRARY_PATH": str(empty)}, self.mqtt(self.plain), "libmosquitto cannot be used"), \
                ({}, ("--mqtt", f"mqtt://127.0.0.1:{free_port()}", "--topic", "t"), "the broker 'mqtt://127")
        for i, (environment, options, reason) in enumerate(cases):
            running = self.follow(self.edge(f"edge-polls-{i}"), "--every", "1", *options, **environment)
            running.stdout.readline()
            self.assertIn(reason, running.stderr.readline())
            version = self.new_version()
            run_tenon("promote", self.store, "valve", "stable", self.keys)
            self.assertIn(f"valve:{version}", running.stdout.readline())


if __name__ == "__main__":
    unittest.main()
