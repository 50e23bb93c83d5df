"""Weights of the networks, and the backends that run them."""

import sys

# OpenVINO would report its use to Google, at each import already; without this package it has a stub for it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
