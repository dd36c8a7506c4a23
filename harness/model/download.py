"""One file behind an address, with a deadline and a largest size."""

from __future__ import annotations


def fetched(url: str, seconds: float) -> bytes:
    """Return what lies behind an address: at most 4 MB, no redirects.

    Raises:
        OSError: if it cannot be fetched; says why.
    """
    import httpx

    from harness.model.transport import GuardedTransport, Unusable

    try:
        parsed = httpx.URL(url)
        transport = GuardedTransport(secure=parsed.scheme == "https", host=parsed.host)
        with httpx.Client(transport=transport, timeout=seconds) as client:
            reply = client.get(parsed)
    except (Unusable, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OSError(str(error) or type(error).__name__) from error
    if reply.status_code != 200:
        raise OSError(f"status {reply.status_code}")
    return reply.content
