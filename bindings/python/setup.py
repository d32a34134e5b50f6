"""Puts libtenon.so into the package, unless the system has one: see README.md."""
import ctypes.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    from wheel.bdist_wheel import bdist_wheel

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HAS_SOURCE = (ROOT / "include" / "tenon" / "tenon.h").exists()


def version() -> str:
    """The library's, from its makefile; what was written beside this file where there is none."""
    if HAS_SOURCE:
        return re.search(r"^VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M).group(1)
    return "0.0.0"


def make(folder):
    """The library in that folder of the source tree, brought up to date."""
    options = [f"-j{os.cpu_count() or 1}", f"BUILD={folder}"]
    if folder == "build/python":  # so that the package needs nothing of the system
        options += [f"WITH_{name}=0" for name in ("OPENBLAS", "JPEG", "JPEG2000", "WEBP", "OPENSSL")]
    if shutil.which("make"):
        subprocess.check_call(["make", "--no-print-directory", "-C", str(ROOT), *options, "lib"])
    return ROOT / folder / "libtenon.so"


def find_library():
    """The file to bundle; None where the system's library is used."""
    if os.environ.get("TENON_LIBRARY"):
        return Path(os.environ["TENON_LIBRARY"])
    for built in ("build", "build/python"):
        if HAS_SOURCE and (ROOT / built / "libtenon.so").exists():
            return make(built)  # it may be older than the sources
    if ctypes.util.find_library("tenon"):
        return None
    if not HAS_SOURCE:
        raise SystemExit("libtenon is neither installed nor named by TENON_LIBRARY, and this is not its source tree")
    return make("build/python")


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        library = find_library()
        target = Path(self.build_lib) / "tenon" / "libtenon.so"
        if library:
            shutil.copyfile(library, target)
        elif target.exists():
            target.unlink()


class PlatformWheel(bdist_wheel):
    """Any Python 3, this platform: the library is no Python extension."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(version=version(), cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
