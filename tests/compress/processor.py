"""What the processor that runs the tests has."""
import pathlib

# Without it ONNX Runtime's products of 8 bits saturate at 16.
VNNI = any(word in pathlib.Path("/proc/cpuinfo").read_text() for word in ("avx512_vnni", "avx_vnni", "asimddp"))
