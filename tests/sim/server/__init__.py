# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What simulators of vendors share: the HTTP server, its ledger and clock, faults, routes, the test side. See README.md."""

from .clock import Clock
from .exchange import Answer, Request, strict_json
from .faults import FaultError, Faults
from .ledger import Ledger, entries
from .program import options_of, serve
from .routes import Route, Router
from .simulator import Refusal, Simulator

__all__ = ["Answer", "Clock", "FaultError", "Faults", "Ledger", "Refusal", "Request", "Route", "Router", "Simulator",
           "entries", "options_of", "serve", "strict_json"]
