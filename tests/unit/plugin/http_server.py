#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A server that behaves well and badly on request, and tells what it received.

Usage: http_server.py [--bind ADDRESS] [--port PORT] [--after MS] [--tls CERTIFICATE KEY]
Prints its port on a line and serves until its standard input closes. Each path below is one behaviour; /_* report on
what came:
/_count?path=P, /_body?path=P&n=N, /_header?path=P&n=N&name=H ("-" when absent), /_most?path=P (most requests at once),
/_connections?path=P (how many connections carried them), /_times?path=P (arrival in ms since the first, one a line).
"""
import email.utils
import gzip
import http.server
import os
import ssl
import sys
import threading
import time
import urllib.parse

lock = threading.Lock()
seen = {}      # path -> list of (method, headers, body, arrival, connection)
in_flight = {}
most = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self):
        super().setup()
        self.served = 0
        self.inside = False

    def log_message(self, *args):
        pass

    def handle_expect_100(self):
        return True

    # ---- plumbing ----

    def take(self):
        url = urllib.parse.urlsplit(self.path)
        self.args = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.where = url.path
        self.served += 1
        name = "do" + self.where.replace("-", "_").replace("/", "_")
        parts = self.where.split("/")
        action = getattr(self, name, None) or getattr(self, "do_" + parts[1].replace("-", "_"), None)
        body = b""
        if parts[1] not in ("early", "close-before"):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not parts[1].startswith("_"):
            with lock:
                entry = (self.command, self.headers, body, time.monotonic(), id(self))
                seen.setdefault(self.where, []).append(entry)
                self.n = len(seen[self.where])
                in_flight[self.where] = in_flight.get(self.where, 0) + 1
                self.inside = True
                most[self.where] = max(most.get(self.where, 0), in_flight[self.where])
        self.body = body
        try:
            if action is None:
                self.reply(404, b"no such behaviour")
            else:
                action()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True
        finally:
            self.leave()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = take

    def leave(self):
        """Before the answer: a client that has it may well be here again before this thread goes on."""
        with lock:
            if self.inside:
                in_flight[self.where] -= 1
            self.inside = False

    def reply(self, status, body=b"", headers=(), length=None):
        self.leave()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def number(self, name, default):
        return int(self.args.get(name, default))

    def drop(self):
        self.close_connection = True

    # ---- reports ----

    def entries(self):
        with lock:
            return list(seen.get(self.args["path"], []))

    def do__count(self):
        self.reply(200, str(len(self.entries())).encode())

    def do__body(self):
        self.reply(200, self.entries()[self.number("n", 0)][2])

    def do__header(self):
        self.reply(200, (self.entries()[self.number("n", 0)][1].get(self.args["name"]) or "-").encode())

    def do__most(self):
        with lock:
            count = most.get(self.args["path"], 0)
        self.reply(200, str(count).encode())

    def do__connections(self):
        self.reply(200, str(len({entry[4] for entry in self.entries()})).encode())

    def do__times(self):
        entries = self.entries()
        self.reply(200, "\n".join(str(int((e[3] - entries[0][3]) * 1000)) for e in entries).encode())

    # ---- good behaviour ----

    def do_echo(self):
        text = self.command + "\n" + "".join(f"{k}: {v}\n" for k, v in self.headers.items()) + "\n"
        self.reply(200, text.encode() + self.body, [("X-Twice", "one"), ("x-twice", "two"), ("X-Empty", "")])

    def do_slow(self):
        time.sleep(self.number("ms", 100) / 1000)
        self.reply(200, b"slow")

    def do_gather(self):
        """n=2: no answer before so many requests were in at once, and then ms; whoever lets fewer in gets none for a minute."""
        end = time.monotonic() + 60
        while most[self.where] < self.number("n", 2) and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(self.number("ms", 0) / 1000)
        self.reply(200, b"together")

    def do_gzip(self):
        plain = b"0123456789abcdef" * 64 * self.number("kb", 1)
        self.reply(200, gzip.compress(plain), [("Content-Encoding", "gzip")])

    def do_gzip_members(self):
        packed = gzip.compress(b"first ") + gzip.compress(b"second") + b"\0\0padding"
        self.reply(200, packed, [("Content-Encoding", "gzip")])

    def do_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"one ", b"two ", b"three"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.02)
        self.wfile.write(b"0\r\nX-Trailer: late\r\n\r\n")

    def do_big(self):
        size = self.number("mb", 1) << 20
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = bytes(range(256)) * 256
        for _ in range(size // len(piece)):
            self.wfile.write(piece)

    def do_until_close(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"to the end")
        self.drop()

    def do_html(self):
        self.reply(200, b"<html><body>please log in</body></html>", [("Content-Type", "text/html; charset=utf-8")])

    def do_hints(self):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Hint: yes\r\n\r\n")
        self.reply(200, b"after hints")

    def do_empty(self):
        self.send_response(204)
        self.end_headers()

    def do_not_modified(self):
        self.send_response(304)
        self.end_headers()

    # ---- statuses ----

    def do_seq(self):
        """s=500,500,200: the n-th request to this path gets the n-th status; ra: Retry-After with those that fail."""
        statuses = self.args["s"].split(",")
        status = int(statuses[min(self.n, len(statuses)) - 1])
        headers = []
        if status >= 400 and "ra" in self.args:
            after = self.args["ra"]
            if after.startswith("date+"):
                # Also with a Date of another day: only the difference counts.
                shift = self.number("shift", 0)
                self.sent_date = time.time() + shift
                after = email.utils.formatdate(self.sent_date + float(after[5:]), usegmt=True)
            headers.append(("Retry-After", after))
        self.reply(status, self.args.get("body", "").encode(), headers)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(getattr(self, "sent_date", None) or timestamp or time.time(), usegmt=True)

    # ---- bad behaviour ----

    def do_close_before(self):
        self.drop()

    def do_close_after(self):
        self.drop()

    def do_close_then_ok(self):
        """fails=N: closes without an answer N times, then answers."""
        if self.n <= self.number("fails", 1):
            self.drop()
        else:
            self.reply(200, b"at last")

    def do_stale(self):
        """Answers the first request of a connection and closes on the second, after it was received."""
        if self.served == 1:
            self.reply(200, b"first")
        else:
            self.drop()

    def do_early(self):
        """Answers before the body was read."""
        self.reply(413, b"too much", [("Connection", "close")])
        self.drop()

    def do_truncated(self):
        self.reply(200, b"x" * self.number("sent", 10), length=self.number("full", 1000))
        self.drop()

    def do_gzip_truncated(self):
        self.reply(200, gzip.compress(os.urandom(5000))[:3000], [("Content-Encoding", "gzip")])

    def do_gzip_damaged(self):
        self.reply(200, b"this is no gzip", [("Content-Encoding", "gzip")])

    def do_brotli(self):
        self.reply(200, b"whatever", [("Content-Encoding", "br")])

    def do_stall(self):
        self.reply(200, b"x" * 10, length=1000)
        time.sleep(300)  # longer than any test waits
        self.drop()

    def do_drip(self):
        self.reply(200, b"", length=1000)
        for _ in range(900):
            self.wfile.write(b"x")
            time.sleep(0.3)
        self.drop()

    def do_headers(self):
        """kb=N headers of a kilobyte; one=N: one of N kilobytes"""
        headers = [(f"X-{i}", "v" * 1000) for i in range(self.number("kb", 0))]
        headers.append(("X-One", "v" * 1000 * self.number("one", 1)))
        self.reply(200, b"ok", headers)

    def do_no_http(self):
        self.wfile.write(b"220 mail.example.com ESMTP ready\r\n")
        self.drop()

    # ---- redirects ----

    def do_redirect(self):
        """to=URL&status=302"""
        headers = [("Location", self.args["to"])] if "to" in self.args else []
        self.reply(self.number("status", 302), b"elsewhere", headers)

    def do_loop(self):
        self.reply(302, b"", [("Location", self.path)])

    def do_count_down(self):
        """n=3 redirects three times, to itself."""
        left = self.number("n", 0)
        if left == 0:
            self.reply(200, b"arrived")
        else:
            self.reply(302, b"", [("Location", f"/count-down?n={left - 1}")])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError)):  # clients may go at any time
            super().handle_error(request, client_address)


def main():
    args = sys.argv[1:]
    bind = args[args.index("--bind") + 1] if "--bind" in args else "127.0.0.1"
    port = int(args[args.index("--port") + 1]) if "--port" in args else 0
    if "--after" in args:
        print(port, flush=True)
        time.sleep(int(args[args.index("--after") + 1]) / 1000)
    server = Server((bind, port), Handler)
    if "--tls" in args:
        at = args.index("--tls")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args[at + 1], args[at + 2])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if "--after" not in args:
        print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
