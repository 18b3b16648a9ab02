"""The visitors' kernels: some are kept ready, each serves one visit, and none outlives it for long."""

from __future__ import annotations

import asyncio
import time

from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import PeriodicCallback
from traitlets import Float
from voila.request_info_handler import RequestInfoSocketHandler

COMING_SECONDS = 60.0
"""How long a browser may take from its request to its connection: on a slow computer it loads for a while."""
BUSY_SECONDS = 600.0
"""The same while the page is still being made."""
LOOK_SECONDS = 15.0


class VisitorKernels(AsyncMappingKernelManager):
    """Ends kernels that no page is connected to, whatever they do, and kernels kept ready that are of no use any more.

    Voila makes a subclass of this one that keeps kernels ready, in `_pools`. Its own culling goes by activity: it ends
    a kernel that was ready for long the moment it is given to a visitor, and never one that looks for new data.
    """

    cull_after = Float(900.0, help="Seconds without a connected page after which a kernel is ended.").tag(config=True)

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._alone_since: dict[str, float] = {}
        self._was_connected: set[str] = set()
        self._looking: PeriodicCallback | None = None

    def initialize_culler(self) -> None:
        """Begin to look after the kernels."""
        if self._looking is None:
            every = min(LOOK_SECONDS, max(0.5, self.cull_after / 4))
            self._looking = PeriodicCallback(self.look_after_all, 1000 * every)
            self._looking.start()
        self._initialized_culler = True

    async def look_after_all(self) -> None:
        """End what is abandoned or dead, and renew what is kept ready."""
        for kernel_id in self.list_kernel_ids():
            try:
                if await self._is_abandoned(kernel_id):
                    self.log.info("Nobody uses kernel %s any more", kernel_id)
                    await ensure_async(self.shutdown_kernel(kernel_id))
            except Exception:  # one kernel that cannot be ended must not keep the others
                if kernel_id in self:  # else its page has ended it meanwhile
                    self.log.warning("Kernel %s could not be ended", kernel_id, exc_info=True)
        await self.renew_pool()

    async def _is_abandoned(self, kernel_id: str) -> bool:
        if kernel_id in self.kept_ready():
            return False
        if not await self.is_alive_now(kernel_id):
            return True
        if self._kernel_connections.get(kernel_id, 0) > 0:
            self._alone_since.pop(kernel_id, None)
            return False
        alone = time.monotonic() - self._alone_since.setdefault(kernel_id, time.monotonic())
        return alone >= self._patience(kernel_id)

    def _patience(self, kernel_id: str) -> float:
        if kernel_id in self._was_connected:
            return self.cull_after
        busy = self.get_kernel(kernel_id).execution_state == "busy"
        return max(self.cull_after, BUSY_SECONDS if busy else COMING_SECONDS)

    async def is_alive_now(self, kernel_id: str) -> bool:
        """Whether the kernel's process runs."""
        return kernel_id in self and await ensure_async(self.get_kernel(kernel_id).is_alive())

    def kept_ready(self) -> set[str]:
        """The kernels that wait for a visitor."""
        tasks = [task for pool in getattr(self, "_pools", {}).values() for task in pool]
        started = [task for task in tasks if task.done() and not task.cancelled() and not task.exception()]
        return {task.result()["kernel_id"] for task in started}

    async def renew_pool(self) -> None:
        """Replace kernels kept ready that have died, or whose notebook did not wait for a visitor: it has failed."""
        for notebook, pool in list(getattr(self, "_pools", {}).items()):
            spent = [task for task in list(pool) if await self._is_spent(task)]
            for task in [task for task in spent if task in pool]:
                pool.remove(task)
                await self._drop(task)
            if spent:
                self.log.warning("%d kernels kept ready were of no use and are replaced", len(spent))
                self.fill_if_needed(delay=0, notebook_name=notebook)

    async def make_ready(self) -> None:
        """See to it that the next visitor gets a kernel that runs, be it one that is only starting."""
        await self.renew_pool()
        starting = [pool[0] for pool in self._pools.values() if pool and not pool[0].done()]
        if starting:
            await asyncio.wait(starting)
            await self.renew_pool()

    async def _is_spent(self, task: asyncio.Task) -> bool:
        if not task.done():
            return False
        if task.cancelled() or task.exception():
            return True
        return task.result()["task"].done() or not await self.is_alive_now(task.result()["kernel_id"])

    async def _drop(self, task: asyncio.Task) -> None:
        if task.cancelled() or task.exception():
            return
        kernel_id = task.result()["kernel_id"]
        if kernel_id in self:
            await ensure_async(self.shutdown_kernel(kernel_id))

    def notify_connect(self, kernel_id: str) -> None:
        """A page has connected."""
        self._was_connected.add(kernel_id)
        super().notify_connect(kernel_id)

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        """End a kernel, and forget what is known of it. One that no page has used has nothing to finish."""
        now = now or kernel_id not in self._was_connected
        self._alone_since.pop(kernel_id, None)
        self._was_connected.discard(kernel_id)
        RequestInfoSocketHandler._cache.pop(kernel_id, None)
        return await super().shutdown_kernel(kernel_id, now=now, restart=restart)
