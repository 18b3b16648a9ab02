"""How a kernel that is kept ready waits for its visitor."""

from __future__ import annotations

import os


def wait_for_visitor() -> None:
    """Return once somebody opens the page; at once where no kernel is kept ready, as in JupyterLab.

    Voila tells a kernel of its visitor over a websocket. Voila's own wait_for_request listens to it, too, but loads
    Voila's whole server for that: a second, and 70 MB in the kernel of every visitor. Raises OSError when the server
    does not answer.
    """
    said = os.environ
    if said.get("VOILA_PREHEAT") != "True":
        return
    from websockets.sync.client import connect

    host = f"{said.get('VOILA_APP_IP', '127.0.0.1')}:{said.get('VOILA_APP_PORT', '8866')}"
    base = said.get("VOILA_WS_BASE_URL", said.get("VOILA_SERVER_URL", "/"))
    address = f"{said.get('VOILA_WS_PROTOCOL', 'ws')}://{host}{base}voila/query/{said.get('VOILA_KERNEL_ID', '')}"
    with connect(address, proxy=None, ping_interval=None) as socket:
        socket.recv()
