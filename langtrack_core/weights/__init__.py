"""Weights of the networks, and their backends, of which OpenVINO is given no way to report its use."""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # at each import, to Google
