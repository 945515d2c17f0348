# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 over sockets, one thread a connection: reads whole requests, sends answers, does what faults do to connections.

Knows nothing of a vendor. A client that goes away is daily bread and never an error of the simulator.
"""

import email.utils
import gzip
import http.client
import socket
import ssl
import struct
import threading
import time

from .exchange import Answer, Request

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
GONE = (ConnectionError, TimeoutError, ssl.SSLError, OSError)


class Malformed(Exception):
    """What came is not HTTP/1.1: `status` is answered and the connection closed."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class TooLarge(Exception):
    pass


class Cut(Exception):
    """The client went away in the middle of a request."""


class Connection:
    def __init__(self, server, plain, peer):
        self.server, self.simulator, self.peer = server, server.simulator, peer
        self.socket = plain
        self.file = None
        self.started = None  # the request that is being read, as far as it came

    def run(self):
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.settimeout(self.server.idle_s)
            if self.simulator.faults.due({"connect_reset"}):
                self.reset()
                return
            if self.server.tls:
                self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
            self.file = self.socket.makefile("rb", 1 << 16)
            while self.one():
                pass
        except Cut as problem:
            self.simulator.note_cut(self.started or Request("", "", {}, b"", self.peer, ""), str(problem))
        except GONE:
            if self.started is not None:
                self.simulator.note_cut(self.started, "the connection broke")
        finally:
            self.close()

    def close(self):
        for thing in (self.file, self.socket):
            try:
                if thing is not None:
                    thing.close()
            except GONE:
                pass

    def reset(self):
        """Closes so that the other side gets a reset, as from a crashed process or a load balancer."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.close()

    # ---- one request ----

    def one(self):
        """Reads one request and answers it. False: the connection is done."""
        self.started = None
        try:
            version = self.read_head()
            request = self.started
            if request is None:
                return False
            keep = version == "HTTP/1.1" and "close" not in request.header("connection", "").lower()
            scheme = "https" if self.server.tls else "http"
            request.base = f"{scheme}://{request.header('host', '%s:%d' % self.server.address)}"
            try:
                request.raw = self.read_body(request.headers)
            except TooLarge:
                answer = self.simulator.refused_early(request, self.simulator.too_large(request))
                self.simulator.traffic.note(request, answer, None)
                self.send(request, answer, keep=False)
                return False
        except Malformed as problem:
            self.send(None, Answer(problem.status, str(problem)), keep=False)
            return False
        self.started = None
        if request.path.startswith("/_sim/"):
            return self.send(request, self.simulator.side_answer(request), keep)
        return self.vendor(request, keep)

    def vendor(self, request, keep):
        calls = self.simulator.calls
        with calls.lock:
            calls.in_flight += 1
            calls.in_flight_max = max(calls.in_flight_max, calls.in_flight)
            request.in_flight = calls.in_flight
        try:
            answer, fault = self.simulator.answer_to(request)
            self.simulator.traffic.note(request, answer if answer is not None else Answer(502), fault)
            if fault is not None and fault["kind"] in ("reset", "stall"):
                if fault["kind"] == "stall":
                    time.sleep(fault.get("seconds", 120))
                self.reset()
                return False
        finally:
            # Before the answer leaves, as a client that has it may send the next request at once.
            with calls.lock:
                calls.in_flight -= 1
        with calls.lock:
            calls.statuses[answer.status] += 1
        return self.send(request, answer, keep, fault)

    def read_line(self, left):
        line = self.file.readline(left + 1)
        if len(line) > left:
            raise Malformed(431, "the head of the request is too large")
        if not line.endswith(b"\n"):
            raise Cut("in the head") if line or self.started else EOFError
        return line

    def read_head(self):
        """Makes it `started`, unless the connection is at its end, and gives the version of HTTP."""
        try:
            line = self.read_line(HEAD_BYTES_MAX)
            while line in (b"\r\n", b"\n"):
                line = self.read_line(HEAD_BYTES_MAX)
        except EOFError:
            return None
        parts = line.decode("latin-1").split()
        if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
            raise Malformed(400, "not a request line of HTTP/1.1")
        self.started = Request(parts[0], parts[1], {}, b"", self.peer, "")
        headers, left = self.started.headers, HEAD_BYTES_MAX
        while True:
            line = self.read_line(left)
            left -= len(line)
            if line in (b"\r\n", b"\n"):
                break
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if not colon or not name or name != name.strip():
                raise Malformed(400, "a header line without a name")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return parts[2]

    def read_body(self, headers):
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and length is not None:
            raise Malformed(400, "both Transfer-Encoding and Content-Length")
        if coding is None and length is None:
            return b""
        if length is not None and (not length.isdecimal()):
            raise Malformed(400, f"Content-Length is {length!r}")
        if length is not None and int(length) > BODY_BYTES_MAX:
            raise TooLarge
        if headers.get("expect", "").lower() == "100-continue":
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length is not None:
            raw = self.read_exactly(int(length))
        elif coding.lower() == "chunked":
            raw = self.read_chunks()
        else:
            raise Malformed(501, f"Transfer-Encoding {coding!r}")
        return self.unpacked(raw, headers.get("content-encoding", "identity").lower())

    def unpacked(self, raw, coding):
        if coding == "identity":
            return raw
        if coding != "gzip":
            raise Malformed(415, f"Content-Encoding {coding!r}")
        try:
            return gzip.decompress(raw)
        except (OSError, EOFError) as problem:
            raise Malformed(400, f"the body is not gzip: {problem}") from None

    def read_exactly(self, count):
        raw = self.file.read(count)
        if len(raw) < count:
            raise Cut(f"{len(raw)} of {count} bytes of the body came")
        return raw

    def read_chunks(self):
        parts, total = [], 0
        while True:
            size = self.read_line(1024).split(b";")[0].strip()
            try:
                count = int(size, 16)
            except ValueError:
                raise Malformed(400, "a chunk without a size") from None
            total += count
            if total > BODY_BYTES_MAX:
                raise TooLarge
            if count == 0:
                while self.read_line(HEAD_BYTES_MAX) not in (b"\r\n", b"\n"):
                    pass
                return b"".join(parts)
            parts.append(self.read_exactly(count))
            self.read_exactly(2)

    # ---- the answer ----

    def send(self, request, answer, keep, fault=None):
        """Sends it whole, unless the fault is `cut` or has `drip_s`. False when the connection is not to be used again."""
        raw, status = answer.pack(request), answer.status
        bodyless = status == 204 or status == 304 or 100 <= status < 200
        given = {name.lower() for name, _ in answer.headers}
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        if "date" not in given:
            lines.append("Date: " + email.utils.formatdate(self.simulator.clock.now(), usegmt=True))
        if answer.content_type and not bodyless and "content-type" not in given:
            lines.append("Content-Type: " + answer.content_type)
        if raw is not answer.raw:
            lines.append("Content-Encoding: gzip")
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if not bodyless:
            lines.append(f"Content-Length: {len(raw)}")
        if not keep:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        if bodyless or (request is not None and request.method == "HEAD"):
            raw = b""
        with self.simulator.calls.lock:
            self.simulator.calls.bytes_out += len(raw)
        if fault is not None and fault["kind"] == "cut":
            return self.cut(head, raw, fault)
        if fault is not None and fault.get("drip_s"):
            return self.drip(head, raw, fault["drip_s"]) and keep
        self.socket.sendall(head + raw)
        return keep

    def cut(self, head, raw, fault):
        """Fewer bytes than were announced, then the end (`reset`: a reset)."""
        self.socket.sendall(head + raw[:min(fault.get("keep_bytes", len(raw) // 2), max(len(raw) - 1, 0))])
        if fault.get("reset"):
            time.sleep(0.05)  # a reset overtakes bytes that were not read yet
            self.reset()
        return False

    def drip(self, head, raw, seconds):
        self.socket.sendall(head)
        step = max(1, len(raw) // 20)
        for at in range(0, len(raw), step):
            time.sleep(seconds / 20)
            self.socket.sendall(raw[at:at + step])
        return True


class Server:
    """Listens on 127.0.0.1; `tls` is (certificate file, key file) or None."""

    def __init__(self, simulator, port=0, tls=None, idle_s=75):
        self.simulator, self.idle_s, self.tls = simulator, idle_s, None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self.tls.load_cert_chain(*tls)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.address = self.listener.getsockname()[:2]
        self.closed = False

    def serve_forever(self):
        while True:
            try:
                plain, peer = self.listener.accept()
            except ConnectionError:
                continue
            except OSError:
                if self.closed:
                    return
                raise
            threading.Thread(target=self.serve_one, args=(plain, peer), daemon=True).start()

    def close(self):
        """Ends serve_forever() in its thread; connections that are there go on."""
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        except OSError:
            pass
        self.listener.close()

    def serve_one(self, plain, peer):
        calls = self.simulator.calls
        with calls.lock:
            calls.connections += 1
            calls.connections_made += 1
            calls.connections_max = max(calls.connections_max, calls.connections)
        try:
            Connection(self, plain, peer).run()
        finally:
            with calls.lock:
                calls.connections -= 1
