# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The vendors' own hosts on this machine: a CA of the tests with certificates for their names, and a proxy that leads each name
to its simulator.
"""

import socket
import subprocess
import threading

HOSTS = {"shopify": ["dray-test.myshopify.com", "nobody.myshopify.com", "storage.example"],
         "zendesk": ["acme.zendesk.com", "nobody.zendesk.com"],
         "mailchimp": ["us21.api.mailchimp.com", "login.mailchimp.com"]}
BUFFER_BYTES = 65536


class Proxy:
    """Takes CONNECT to the hosts it knows and leads them to ports of this machine; `asked` is every host it was asked for."""

    def __init__(self, ports):
        self.ports, self.asked = ports, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(BUFFER_BYTES)
            if not piece:
                return
            head += piece
        method, target = head.decode("latin-1").split(" ")[:2]
        host, _, port = target.rpartition(":")
        self.asked.append(host)
        try:
            if method != "CONNECT" or port != "443" or host not in self.ports:
                raise OSError("no such host")
            upstream = socket.create_connection(("127.0.0.1", self.ports[host]))
        except OSError:
            client.sendall(b"HTTP/1.1 502 not there\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        client.sendall(b"HTTP/1.1 200 connected\r\n\r\n")
        threading.Thread(target=self.pump, args=(upstream, client), daemon=True).start()
        self.pump(client, upstream)

    @staticmethod
    def pump(source, sink):
        try:
            while piece := source.recv(BUFFER_BYTES):
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A CA, and certificates of it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=Test CA",
                "-keyout", folder / "ca.key", "-out", self.certificate)

    def issue(self, name, hosts):
        key, request, certificate, more = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={hosts[0]}", "-keyout", key,
                "-out", request)
        more.write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts), encoding="utf-8")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", 2,
                "-extfile", more, "-out", certificate)
        return certificate, key


def ports_of(vendor, sim):
    """{host: port}."""
    return {host: sim.hello["storage_port"] if host == "storage.example" else sim.port for host in HOSTS[vendor]}
