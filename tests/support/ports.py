"""Free loopback ports."""

import errno
import random
import socket

#: Below the range from which Linux takes ports for outgoing connections: one of those would be in the way.
PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now, nor another process of the tests soon."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(PORTS)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
