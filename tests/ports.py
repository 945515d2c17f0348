# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A port of this machine for a server of a test, before that server runs and while it is down.

A free port that is found and let go of is anybody's: another test's connection may be given it before the server has it. A port
that is bound, and not listened on, is given to nobody; a server that sets SO_REUSEADDR (all of ours do) may listen on it all the
same, and until it does, who connects is refused.
"""

import socket


def hold():
    """(the socket that holds it: keep it, close it at the end; the port)."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]
