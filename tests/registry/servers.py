"""Servers of other makers for the tests here, each in a folder of its own, on a free port, until it is stopped."""
import os
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))
EXAMPLES = ROOT / os.environ.get("EXAMPLES", "build/examples")
USER = "edge:open sesame"
os.environ["no_proxy"] = "127.0.0.1,localhost"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


class Registry:
    """docker-registry in a folder, until stopped."""

    def __init__(self, folder, tls=None, extra=""):
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        files = f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}\n" if tls else ""
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http:\n  addr: 127.0.0.1:{self.port}\n  secret: tests\n{files}{extra}")
        self.start()

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", str(self.folder / "config.yml")],
                                            stdout=log, stderr=log)
        wait_for(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def address(self, rest):
        return f"127.0.0.1:{self.port}/{rest}"


class Broker:
    """mosquitto."""

    def __init__(self, folder, options=()):
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        lines = f"listener {self.port} 127.0.0.1", *(options or ("allow_anonymous true",))
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log)
        wait_for(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()


def run_tenon(verb, *words, code=0, **environment):
    """What `tenon store` says; passwords are never in that."""
    done = subprocess.run([COMMAND, "store", verb, *map(str, words)], capture_output=True, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == code, (verb, words, done.stdout, done.stderr)
    assert "sesame" not in done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def make_certificates(folder):
    """An authority, and a server's certificate and key of it for 127.0.0.1, as paths."""
    ca, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*make, "/CN=tests", "-keyout", folder / "ca.key", "-out", ca], **quiet)
    subprocess.run([*make, "/CN=server", "-keyout", key, "-out", certificate, "-CA", ca, "-CAkey", folder / "ca.key",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"], **quiet)
    return ca, certificate, key
