# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A simulator as a program: the options that all have, the line it prints at its start, its end at SIGTERM."""

import argparse
import json
import os
import signal
import threading

from .wire import Server


def options_of(description):
    """A parser with the options that all simulators have; a vendor adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free, told in the first line printed")
    parser.add_argument("--ledger", metavar="PATH", help="append-only JSON lines, one for each request")
    parser.add_argument("--traffic", metavar="PATH", help="JSON lines, each different exchange whole, for judges")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--now", metavar="ISO", help="the simulator's own clock at its start (default: the real time)")
    parser.add_argument("--latency-ms", type=float, default=0, help="how long every answer takes at least")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="PEM files; serves https with TLS 1.2 or later")
    parser.add_argument("--idle-s", type=float, default=75, help="an idle connection is closed after so long")
    return parser


def serve(simulator):
    """Prints {"port": N, ...} and serves until SIGTERM or SIGINT."""
    options = simulator.options
    server = Server(simulator, options.port, options.tls, options.idle_s)

    # Blocked in every thread and waited for here: a handler runs in the main thread only, which would sit in accept() when
    # another thread got the signal.
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.address[1], **simulator.hello()}), flush=True)
    signal.sigwait(ending)
    os._exit(0)  # all that must last is on the disk; an orderly end may wait for a thread in the middle of an answer
