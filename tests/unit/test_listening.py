"""Sockets that the product accepts."""

import socket

from foreshock.roles import API, Process
from foreshock.settings import Settings


def test_what_is_written_to_a_client_does_not_wait_for_what_it_acknowledges(tmp_path):
    process = Process(Settings(), frozenset({API}), data=tmp_path, host="127.0.0.1", port=0)
    with process._listener() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
