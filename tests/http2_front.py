# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over TLS before a server of tests that speaks HTTP/1.1, strict about what it is sent, and able to break off as only
HTTP/2 can: frame by frame.

A request is passed on and its answer is passed back, unless a fault strikes it. What never reaches the server behind was not
done, and that server's own ledger says so. As a program (for tests in C): `http2_front.py PORT` makes itself a certificate,
prints its port and serves until its standard input closes; `h2=KIND` in a request's query is its fault, `h2n=N` of the first N only.
"""

import gzip
import http.client
import queue
import select
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

# Faults. Before the server is asked: nothing is done.
REFUSED = "refused"            # RST_STREAM(REFUSED_STREAM)
GOAWAY_BELOW = "goaway_below"  # GOAWAY that names an earlier stream as the last one, and the end of the connection
HTTP_1_1 = "http_1_1"          # RST_STREAM(HTTP_1_1_REQUIRED)
NOTHING_DONE = (REFUSED, GOAWAY_BELOW, HTTP_1_1)
# After it was asked, and has done it.
INTERNAL = "internal"          # RST_STREAM(INTERNAL_ERROR) in the place of an answer
LOST = "lost"                  # the connection ends in the place of an answer
RESET = "reset"                # and is reset
GOAWAY_ERROR = "goaway_error"  # GOAWAY(INTERNAL_ERROR) that names this stream as the last one, and the end
CUT = "cut"                    # half of an answer's body, then the end of the connection
CUT_STREAM = "cut_stream"      # then RST_STREAM(INTERNAL_ERROR)
CUT_GOAWAY = "cut_goaway"      # GOAWAY without an error first, then as CUT
DONE = (INTERNAL, LOST, RESET, GOAWAY_ERROR, CUT, CUT_STREAM, CUT_GOAWAY)
# Nothing is wrong: the connection takes no more requests.
GOAWAY = "goaway"              # GOAWAY, then the whole answer
GOAWAY_AFTER = "goaway_after"  # the answer, GOAWAY behind it in the same bytes, and the end

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection")
RECEIVE_BYTES = 65536


class Stream:
    def __init__(self, number, headers):
        self.number = number
        self.headers = [(name.decode(), value.decode()) for name, value in headers]
        self.pseudo = {name: value for name, value in self.headers if name.startswith(":")}
        self.body, self.fault = b"", None
        self.left, self.ends = None, True  # of the answer's body; whether its end is told


class Connection:
    """One client's. All that touches it runs in `run`; who asks the server behind only puts answers into the queue."""

    def __init__(self, front, plain):
        self.front, self.plain = front, plain
        self.streams, self.answers = {}, queue.Queue()
        self.woken, self.waker = socket.socketpair()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.last, self.ending, self.over = 0, False, False  # over: nothing more is sent, what comes is let fall

    def run(self):
        try:
            self.socket = self.front.tls.wrap_socket(self.plain, server_side=True)
        except OSError:
            return
        try:
            if self.socket.selected_alpn_protocol() != "h2":
                self.front.older += 1  # what HTTP_1_1 asks for, and nothing else should
                return
            with self.front.lock:
                self.front.connections += 1
                self.number = self.front.connections
            self.h2.initiate_connection()
            self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100})
            self.flush()
            while self.turn():
                pass
        except h2.exceptions.ProtocolError as wrong:
            self.front.violations.append(repr(wrong))
        except OSError:
            pass  # clients may go at any time
        finally:
            self.socket.close()
            self.woken.close()
            self.waker.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.over:
            self.socket.sendall(data)

    def turn(self):
        """Takes what came. False at the end of the connection."""
        ready = [self.socket] if self.socket.pending() else select.select([self.socket, self.woken], [], [])[0]
        if self.woken in ready:
            self.woken.recv(RECEIVE_BYTES)
        if self.socket in ready:
            data = self.socket.recv(RECEIVE_BYTES)
            if not data:
                return False
            if self.over:
                return True
            for event in self.h2.receive_data(data):
                self.take(event)
        self.flush()
        while not self.answers.empty() and not self.over:
            self.answer(*self.answers.get())
        for stream in list(self.streams.values()):
            self.send_body(stream)
        self.flush()
        return True

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = Stream(event.stream_id, event.headers)
            with self.front.lock:
                self.front.streams_max = max(self.front.streams_max, len(self.streams))
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.streams.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded):
            self.asked(self.streams[event.stream_id])

    def asked(self, stream):
        if self.ending:
            return  # after GOAWAY: not looked at
        stream.fault = self.front.strike(self.number, stream)
        if stream.fault not in NOTHING_DONE:
            threading.Thread(target=self.pass_on, args=(stream,), daemon=True).start()
            self.last = stream.number
            return
        del self.streams[stream.number]
        if stream.fault == GOAWAY_BELOW:
            self.h2.close_connection(h2.errors.ErrorCodes.NO_ERROR, last_stream_id=self.last)
            self.end()
        else:
            codes = {REFUSED: h2.errors.ErrorCodes.REFUSED_STREAM, HTTP_1_1: h2.errors.ErrorCodes.HTTP_1_1_REQUIRED}
            self.h2.reset_stream(stream.number, codes[stream.fault])

    def pass_on(self, stream):
        answer = None
        try:
            answer = self.front.ask(stream)
        except (OSError, http.client.HTTPException):
            pass
        self.answers.put((stream, answer))
        try:
            self.waker.send(b".")
        except OSError:
            pass

    def answer(self, stream, answer):
        if stream.number not in self.streams:
            return  # the client has let go of it
        if answer is None or stream.fault == INTERNAL:
            self.reset_stream(stream)
        elif stream.fault in (LOST, RESET):
            self.end(reset=stream.fault == RESET)
        elif stream.fault == GOAWAY_ERROR:
            self.h2.close_connection(h2.errors.ErrorCodes.INTERNAL_ERROR, last_stream_id=stream.number)
            self.end()
        else:
            self.give(stream, *answer)

    def give(self, stream, status, headers, body):
        cut = stream.fault in (CUT, CUT_STREAM, CUT_GOAWAY)
        if stream.fault in (GOAWAY, CUT_GOAWAY):
            self.goaway(stream)
        bodyless = stream.pseudo[":method"] == "HEAD" or not body
        self.h2.send_headers(stream.number, [(":status", str(status)), *headers], end_stream=bodyless and not cut)
        stream.left, stream.ends = memoryview(b"" if bodyless else body), not cut
        if cut:
            stream.left = stream.left[:len(body) // 2]
        elif bodyless:
            self.through(stream)

    def send_body(self, stream):
        """As much as the client's window takes."""
        while stream.left is not None and stream.number in self.streams:
            room = min(self.h2.local_flow_control_window(stream.number), self.h2.max_outbound_frame_size, len(stream.left))
            if room <= 0 and len(stream.left) > 0:
                return
            piece, stream.left = stream.left[:room], stream.left[room:]
            done = len(stream.left) == 0
            if room > 0 or stream.ends:
                self.h2.send_data(stream.number, bytes(piece), end_stream=done and stream.ends)
            if not done:
                self.flush()
            elif stream.ends:
                self.through(stream)
            elif stream.fault == CUT_STREAM:
                self.flush()
                self.reset_stream(stream)
            else:
                self.end()

    def through(self, stream):
        del self.streams[stream.number]
        if stream.fault == GOAWAY_AFTER:
            self.goaway(stream)
            self.end()

    def goaway(self, stream):
        """One that lets this stream go on, which h2 itself has no call for."""
        self.flush_with(struct.pack(">BHBBLLL", 0, 8, 7, 0, 0, stream.number, 0))

    def flush_with(self, frame):
        self.ending = True
        self.socket.sendall(self.h2.data_to_send() + frame)

    def reset_stream(self, stream):
        del self.streams[stream.number]
        self.h2.reset_stream(stream.number, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def end(self, reset=False):
        """No more is sent. What the client sends is still read, for unread bytes would make a reset of it."""
        self.flush()
        self.streams.clear()
        self.ending = self.over = True
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionResetError("by a fault")  # run() closes it
        self.socket.shutdown(socket.SHUT_WR)


class Front:
    """`ports`: where each host is, {host: port}, or one port for all. `asked`: (connection, stream, method, path) of every
    request that came, in order. `older`: connections that did not choose HTTP/2. `violations`: what clients did that it forbids."""

    def __init__(self, ports, pair, upstream_tls=False):
        self.ports, self.upstream_tls = ports, upstream_tls
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*pair)
        self.tls.set_alpn_protocols(["h2", "http/1.1"])
        self.lock = threading.Lock()
        self.connections = self.streams_max = self.older = 0
        self.asked, self.violations, self.faults, self.struck = [], [], [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Connection(self, plain).run, daemon=True).start()

    def fault(self, *kinds, method=None, path="", body=b"", spared=0):
        """Each strikes one request of this method whose path holds `path` and whose body holds `body`; before each so many are
        spared."""
        with self.lock:
            self.faults += [{"kind": kind, "method": method, "path": path, "body": body, "spared": spared} for kind in kinds]

    def strike(self, connection, stream):
        """Notes the request. Its fault, or None."""
        method, path = stream.pseudo[":method"], stream.pseudo[":path"]
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        with self.lock:
            self.asked.append((connection, stream.number, method, path))
            if "h2" in query:
                before = sum(one[3] == path for one in self.asked)
                return query["h2"] if before <= int(query.get("h2n", before)) else None
            body = gzip.decompress(stream.body) if ("content-encoding", "gzip") in stream.headers else stream.body
            for one in self.faults:
                if one["method"] in (None, method) and one["path"] in path and one["body"] in body:
                    one["spared"] -= 1
                    if one["spared"] >= 0:
                        return None
                    self.faults.remove(one)
                    self.struck.append(one["kind"])
                    return one["kind"]
        return None

    def ask(self, stream):
        """(status, headers, body) of the server behind."""
        host = stream.pseudo[":authority"]
        port = self.ports if isinstance(self.ports, int) else self.ports[host.split(":")[0]]
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        made = (http.client.HTTPSConnection("127.0.0.1", port, context=trusting) if self.upstream_tls
                else http.client.HTTPConnection("127.0.0.1", port))
        headers = {name: value for name, value in stream.headers if not name.startswith(":")}
        try:
            made.request(stream.pseudo[":method"], stream.pseudo[":path"], stream.body or None, {"Host": host, **headers})
            answer = made.getresponse()
            return answer.status, [(name.lower(), value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP], answer.read()
        finally:
            made.close()

    def close(self):
        self.listener.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        pair = [f"{folder}/certificate.pem", f"{folder}/key.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=test", "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
        front = Front(int(sys.argv[1]), pair)
    print(front.port, flush=True)
    sys.stdin.read()
    for wrong in front.violations:
        print(wrong, file=sys.stderr)
    sys.exit(1 if front.violations else 0)


if __name__ == "__main__":
    main()
