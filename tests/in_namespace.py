"""Runs a server that insists on its ports in a network of its own, and passes connections on to it.

`python in_namespace.py 7=636 -- samba ...`, started by `unshare --net --pid --fork`: 7 is a listening socket that was
opened outside, and whoever connects to it reaches port 636 inside. It ends with its standard input, however the
process at the other end of that has ended, and as the first process of its own table it takes all others along.
"""

import contextlib
import fcntl
import socket
import struct
import subprocess
import sys
import threading

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def main(arguments: list[str]) -> None:
    at = arguments.index("--")
    _bring_loopback_up()
    server = subprocess.Popen(arguments[at + 1 :], stdin=subprocess.DEVNULL)
    for pair in arguments[:at]:
        number, port = map(int, pair.split("="))
        threading.Thread(target=_accept, args=(socket.socket(fileno=number), port), daemon=True).start()
    sys.stdin.buffer.read()
    server.terminate()
    server.wait()


def _bring_loopback_up() -> None:
    """A new network has a loopback device that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        shown = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", shown)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            continue
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for stream in (source, sink):
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(sys.argv[1:])
