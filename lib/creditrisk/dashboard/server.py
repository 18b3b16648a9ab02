"""Voila, with a login in front of everything and kernels that end with their visit."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import os
import re
import secrets
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import FileFindHandler, JupyterHandler
from jupyter_server.services.kernels.handlers import KernelHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.log import access_log, gen_log
from tornado.web import HTTPError, RedirectHandler, RequestHandler, authenticated
from traitlets import Instance, Unicode
from voila.app import Voila
from voila.request_info_handler import RequestInfoSocketHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler

from creditrisk.dashboard.access import Attempts
from creditrisk.dashboard.kernels import VisitorKernels
from creditrisk.dashboard.paths import is_detour
from creditrisk.dashboard.start import NOTEBOOK, Options
from creditrisk.ui import PRODUCT
from creditrisk.ui.styles import DARK, LIGHT

WRONG_SECONDS = 1.0
"""How long a wrong token or password waits for its answer."""
LOGIN_DAYS = 1
PING_SECONDS = 30
"""How long a browser may be silent, asked whether it is there, before its connection counts as closed."""
PUBLIC = (TemplateStaticFileHandler, MultiStaticFileHandler, FileFindHandler)
"""Voila's scripts, styles and icons: the same in every installation."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}


# --- Who asks ---------------------------------------------------------------------------------------------------------


class PageIdentity(IdentityProvider):
    """Visitors are known by a cookie, which they get for the token or the password."""

    login_handler_class = None
    token = Unicode("")

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("login_handler_class", None)
        super().__init__(**kwargs)
        self.access = self.parent.options.access
        self.attempts = Attempts()
        self.cookie_options = {"samesite": "Lax", "expires_days": None}
        self.get_secure_cookie_kwargs = {"max_age_days": LOGIN_DAYS}

    @property
    def auth_enabled(self) -> bool:
        return bool(self.access)

    async def get_user_token(self, handler: JupyterHandler) -> User | None:
        """The visitor whose request carries the token, in its address or as `Authorization: Bearer`."""
        sent = self.get_token(handler) if self.access else ""
        if not sent:
            return None
        return self.generate_anonymous_user(handler) if await self.admits(handler, sent) else None

    async def admits(self, handler: JupyterHandler, secret: str) -> bool:
        """Whether a secret opens the page. A wrong one is answered late, and after many of them none is looked at."""
        address = handler.request.remote_ip
        if self.attempts.wait(address):
            return False
        self.attempts.begin(address)
        if await asyncio.to_thread(self.access.admits, secret):
            self.attempts.was_right(address)
            return True
        await asyncio.sleep(WRONG_SECONDS)
        return False

    def get_handlers(self) -> list[tuple[str, type]]:
        base = self.parent.server_url
        return [(url_path_join(base, "login"), LoginPage), (url_path_join(base, "logout"), Logout)]


class LoginPage(JupyterHandler):
    """A page that asks for the token or the password. Whoever is known goes on to the page."""

    @allow_unauthenticated
    def get(self) -> None:
        if self.current_user:
            self.redirect(self.base_url)
        else:
            self._show("wrong" if self.get_query_argument("token", "") else "")

    @allow_unauthenticated
    async def post(self) -> None:
        identity = self.identity_provider
        wait = identity.attempts.wait(self.request.remote_ip)
        if identity.access and not await identity.admits(self, self.get_body_argument("secret", "")):
            self.set_status(429 if wait else 401)
            if wait:
                self.set_header("Retry-After", str(round(wait) + 1))
            self._show("wait" if wait else "wrong")
            return
        identity.set_login_cookie(self, identity.generate_anonymous_user(self))
        self.redirect(self.base_url)

    def _show(self, problem: str) -> None:
        template = self.settings["voila_jinja2_env"].get_template("login.html")
        asks_for = self.identity_provider.access.asks_for
        colours = {"light": LIGHT, "dark": DARK}
        self.set_header("Cache-Control", "no-store")
        self.finish(template.render(product=PRODUCT, asks_for=asks_for, problem=problem, base=self.base_url, **colours))


class Logout(JupyterHandler):
    """Forget who the visitor is."""

    @allow_unauthenticated
    def get(self) -> None:
        self.identity_provider.clear_login_cookie(self)
        self.redirect(url_path_join(self.base_url, "login"))


# --- What is asked for ------------------------------------------------------------------------------------------------


class Guarded(RequestHandler):
    """In front of every handler: no detours in paths, no writing from other sites, careful headers."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> Any:
        if is_detour(self.request.path):
            raise HTTPError(400, reason="Not a path of this page")
        if self.request.method not in ("GET", "HEAD") and self._is_from_elsewhere():
            raise HTTPError(403, reason="Not from this page")
        return super().prepare()

    def _is_from_elsewhere(self) -> bool:
        origin = self.request.headers.get("Origin", "")
        return bool(origin) and origin.partition("://")[2].lower() != self.request.host.lower()


class Page(TornadoVoilaHandler):
    """The page. A token in its address becomes a cookie, so that it stays in no history and reaches no kernel."""

    @authenticated
    async def get(self, path: str | None = None) -> None:
        if path:
            raise HTTPError(404)
        if self.get_query_argument("token", None) is not None:
            self.redirect(self.base_url)
            return
        if self.voila_configuration.preheat_kernel:
            await self.kernel_manager.make_ready()
        await super().get()


class OneKernel(KernelHandler):
    """What a page asks to know whether its kernel still runs."""

    @authenticated
    async def get(self, kernel_id: str) -> None:
        if not await self.kernel_manager.is_alive_now(kernel_id):
            raise HTTPError(404, "Kernel does not exist")
        await super().get(kernel_id)


class VisitNotice(RequestInfoSocketHandler):
    """Tells a kernel kept ready that its visitor has come. Kernels only: they know the word."""

    def prepare(self) -> None:
        sent = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(sent.encode(), self.settings["kernel_word"].encode()):
            raise HTTPError(403)

    def open(self, kernel_id: str) -> None:
        super().open(kernel_id)
        self._cache.pop(kernel_id, None)

    def on_close(self) -> None:
        for kernel_id in [known for known, waiter in self._waiters.items() if waiter is self]:
            del self._waiters[kernel_id]


REPLACED = {TornadoVoilaHandler: Page, KernelHandler: OneKernel, RequestInfoSocketHandler: VisitNotice}


def guarded(handler: type[RequestHandler]) -> type[RequestHandler]:
    """A handler of Voila as the page serves it: only what is public needs no login."""
    handler = REPLACED.get(handler, handler)
    needs_login = not issubclass(handler, (*PUBLIC, VisitNotice))
    bases = (Guarded, handler, JupyterHandler) if needs_login and not issubclass(handler, JupyterHandler) else ()
    return type(handler.__name__, bases or (Guarded, handler), {})


# --- The server -------------------------------------------------------------------------------------------------------


class PageServer(Voila):
    """One notebook for many visitors, each with a kernel of their own."""

    options = Instance(Options, args=())
    start_line = Unicode()

    @classmethod
    def serve(cls, options: Options, start_line: str) -> None:
        """Serve the notebook of the working directory; only this folder's voila.json counts."""
        server = cls.instance(
            options=options,
            start_line=start_line,
            ip=options.host,
            port=options.port,
            base_url=options.base_url,
            config_file_paths=[os.getcwd()],
            identity_provider_class=PageIdentity,
            cookie_secret=options.access.cookie_secret(),
            log_level=logging.WARNING,
        )
        server.initialize([NOTEBOOK, "--no-browser"])
        server.start()

    def initialize(self, argv: list[str] | None = None) -> None:
        super().initialize(argv)
        page = self.voila_configuration
        page.multi_kernel_manager_class = VisitorKernels
        self.log.addFilter(lambda record: "is not trusted" not in record.msg)  # of the page's own notebook
        # Jupyter pings in milliseconds; tornado takes them for seconds, and complains to whoever runs the page.
        gen_log.addFilter(lambda record: "websocket_ping_timeout" not in record.getMessage())
        page.default_pool_size, page.preheat_kernel = self.options.pool, self.options.pool > 0

    def init_settings(self) -> dict[str, Any]:
        word = base64.b64encode(f"kernel:{secrets.token_hex(16)}".encode()).decode()
        self._tell_kernels_where(base64.b64decode(word).decode())
        found = super().init_settings()
        self.kernel_manager.cull_after = self.options.cull_after
        return found | {
            "kernel_word": f"Basic {word}",
            "allow_remote_access": bool(self.options.access) or not self.options.checks_host,
            "jinja2_env": found["voila_jinja2_env"],
            "log_function": log_problems,
            "ws_ping_interval": PING_SECONDS * 1000,
            "ws_ping_timeout": 3 * PING_SECONDS * 1000,  # of one ping alone, every other connection would be cut
        }

    def _tell_kernels_where(self, word: str) -> None:
        """The address at which a kernel kept ready asks for its visitor."""
        host = self.options.host
        own = "127.0.0.1" if host in ("", "localhost", "0.0.0.0") else "[::1]" if host == "::" else host
        os.environ["VOILA_APP_IP"] = f"{word}@{f'[{own}]' if ':' in own and not own.startswith('[') else own}"

    def init_handlers(self) -> list[tuple]:
        found = [(pattern, guarded(handler), *more) for pattern, handler, *more in super().init_handlers()]
        base = self.options.base_url
        bare = [] if base == "/" else [(re.escape(base[:-1]), RedirectHandler, {"url": base, "permanent": False})]
        return [*bare, *found]

    def listen(self) -> None:
        self.app.listen(self.port, self.ip, xheaders=self.options.behind_proxy)
        print(self.start_line, flush=True)
        self.ioloop = IOLoop.current()
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()


def log_problems(handler: RequestHandler) -> None:
    """Log what failed, without the part of an address that may hold a token."""
    if handler.get_status() >= 500:
        request = handler.request
        access_log.error("%d %s %s from %s", handler.get_status(), request.method, request.path, request.remote_ip)
