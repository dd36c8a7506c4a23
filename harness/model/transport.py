"""What stands between the OpenAI client and the network: no reply is endless, large or elsewhere.

A reply has a deadline as a whole, from looking up the host to the last byte of its body, and a
largest size, also after it was decompressed. Redirects are not followed. Whoever stops waiting
closes every connection at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
import weakref
import zlib
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from harness.errors import UsageError

LARGEST = 4 << 20
"""Bytes of a reply, decompressed; 4,000 tokens with 20 log-probabilities each fit."""
LARGEST_ERROR = 64 << 10
"""Bytes that are read of an error's text."""

_SLICE = 16 << 10
_TOGETHER = 64
_MEMBER = b"\x1f\x8b"  # how one of gzip begins
_PIECE = 4096  # bytes; what follows a member is copied, so that it must be short
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's names for the formats


class Unusable(Exception):  # noqa: N818  (a finding about a reply, not a fault of ours)
    """A reply that is not taken, such as one that is too large; the same will come again."""


class GuardedTransport(httpx.BaseTransport):
    """Sends requests, and gives each reply so much time and memory and no more."""

    def __init__(self, *, secure: bool, host: str) -> None:
        """Prepare; nothing is sent.

        Args:
            secure: whether the server is asked by ``https``.
            host: of the server, to know whether a proxy stands before it.
        """
        self._wire = _Wire()
        context = httpx.create_ssl_context() if secure else None
        proxy = _proxy("https" if secure else "http", host)
        limits: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": _TOGETHER,
            "network_backend": self._wire,
        }
        self._pool = (
            httpcore.ConnectionPool(**limits)
            if proxy is None
            else httpcore.HTTPProxy(str(proxy.url), proxy_auth=proxy.raw_auth, **limits)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read the whole reply, in the time for reading that it brings.

        Raises:
            Unusable: if the reply is too large, compressed in an unknown way or somewhere else.
            httpx.TransportError: if there is none, or not in time.
        """
        seconds = float(request.extensions["timeout"]["read"])
        self._wire.begin(seconds)
        headers = [(k, v) for k, v in request.headers.raw if k.lower() != b"accept-encoding"]
        try:
            reply = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=str(request.url),
                    headers=[*headers, (b"Accept-Encoding", b"identity")],
                    content=request.read(),
                    extensions={"timeout": {"pool": seconds}},
                )
            )
            try:
                return self._read(reply, request)
            finally:
                reply.close()
        except httpcore.TimeoutException as error:
            text = f"no whole reply within {seconds:.3g} s"
            raise httpx.ReadTimeout(text, request=request) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__, request=request) from error
        except (RuntimeError, OSError) as error:  # closed by somebody who stopped waiting
            raise httpx.ConnectError(str(error), request=request) from error

    def _read(self, reply: httpcore.Response, request: httpx.Request) -> httpx.Response:
        headers = httpx.Headers(reply.headers)
        if 300 <= reply.status < 400:
            there = headers.get("location", "nowhere")
            raise Unusable(
                f"the server redirects to {there}, which is not followed. Name that address itself"
            )
        failed = reply.status >= 400
        raw, most = bytearray(), LARGEST_ERROR if failed else LARGEST
        for chunk in reply.iter_stream():
            raw += chunk
            if len(raw) > most:
                if not failed:
                    raise Unusable(f"the reply is larger than {LARGEST >> 20} MB")
                break
        body = _decompressed(bytes(raw[:most]), headers, failed=failed)
        kept = [
            (name, value)  # as bytes: a name or value may be in any encoding
            for name, value in reply.headers
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx.Response(reply.status, headers=kept, content=body, request=request)

    def stop(self) -> None:
        """End every connection now, also those that are being waited for."""
        self._wire.stop()

    def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(RuntimeError):
            self._pool.close()


def _decompressed(raw: bytes, headers: httpx.Headers, *, failed: bool) -> bytes:
    """Return the body as it is meant, never more than the limit.

    No compression is asked for, but some servers compress all the same.
    """
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return raw
    if coding not in _WINDOWS:
        raise Unusable(f"the reply is compressed as {coding!r}, which was not asked for")
    try:
        body, whole = _inflated(raw, _WINDOWS[coding])
    except zlib.error as error:
        raise Unusable(f"the reply cannot be decompressed: {error}") from error
    if len(body) > LARGEST and not failed:
        raise Unusable(f"the reply is larger than {LARGEST >> 20} MB when decompressed")
    if not whole and not failed:
        raise Unusable("the reply ends in the middle of its compressed data")
    return body[:LARGEST_ERROR] if failed else body


def _inflated(raw: bytes, window: int) -> tuple[bytes, bool]:
    """Return what compressed data hold, at most a byte over the limit, and whether they are whole.

    Gzip may come in several members (RFC 1952, section 2.2); what follows the last and begins no
    other is left out, such as padding.
    """
    body, at, unpack = bytearray(), 0, zlib.decompressobj(window)
    while at < len(raw) and len(body) <= LARGEST:
        if unpack.eof:
            if not raw.startswith(_MEMBER, at):
                break
            unpack = zlib.decompressobj(window)
        piece = raw[at : at + _PIECE]
        body += unpack.decompress(piece, LARGEST + 1 - len(body))
        at += len(piece) - len(unpack.unused_data)
    return bytes(body), unpack.eof


def _proxy(scheme: str, host: str) -> httpx.Proxy | None:
    """Return the proxy that the environment names for a host."""
    named = urllib.request.getproxies().get(scheme, "").strip()
    if not named or urllib.request.proxy_bypass(host):
        return None
    with contextlib.suppress(ValueError, httpx.InvalidURL):
        proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
        if proxy.url.scheme in ("http", "https") and proxy.url.host:
            return proxy
    raise UsageError(
        f"The proxy in {scheme}_proxy cannot be used. Write http://HOST:PORT or "
        f"http://USER:PASSWORD@HOST:PORT, or add {host} to no_proxy."
    )


class _Wire(httpcore.NetworkBackend):
    """Opens connections on which every operation ends at the deadline of its thread's request."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._mine = threading.local()
        self._open: weakref.WeakSet[_Line] = weakref.WeakSet()
        self._stopped = False

    def begin(self, seconds: float) -> None:
        self._mine.deadline = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left to this thread's request.

        Raises:
            httpcore.ReadTimeout: if there are none.
        """
        left = float(self._mine.deadline) - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect in the time that is left."""
        stream = self._inner.connect_tcp(host, port, self.left(), local_address, socket_options)
        return self.guarded(stream)

    def guarded(self, stream: httpcore.NetworkStream) -> _Line:
        line = _Line(stream, self)
        self._open.add(line)
        if self._stopped:
            line.shut()
        return line

    def stop(self) -> None:
        self._stopped = True
        for line in list(self._open):
            line.shut()


class _Line(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, inner: httpcore.NetworkStream, wire: _Wire) -> None:
        self._inner, self._wire = inner, wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._wire.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            self._inner.write(buffer[start : start + _SLICE], self._wire.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self._wire.guarded(
            self._inner.start_tls(ssl_context, server_hostname, self._wire.left())
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def shut(self) -> None:
        """Wake whoever waits for the other side; closing alone would not."""
        with contextlib.suppress(OSError):
            found = self._inner.get_extra_info("socket")
            if found is not None:
                found.shutdown(socket.SHUT_RDWR)
