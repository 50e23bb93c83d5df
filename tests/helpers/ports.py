"""Ports of this machine for the servers of tests, apart from those of tests that run beside them."""

from __future__ import annotations

import os
import socket

PORTS = 200
"""Ports that a process of the tests has: Gradio tries 100, the others are for programs that tests start."""

FIRST_PORT = 11_000 + os.getpid() % 100 * PORTS
"""The first of them. Processes that start together have neighbouring numbers, and so other ports. All are
below 32,768, from where the system takes the ports of connections."""


def free_port() -> int:
    for port in range(FIRST_PORT + PORTS // 2, FIRST_PORT + PORTS):
        with socket.socket() as listening:
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {FIRST_PORT + PORTS // 2} on is free")
