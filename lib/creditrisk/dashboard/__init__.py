"""The server behind the page: who may open it, and the kernels of those who do."""

from creditrisk.dashboard.access import Access, access_from, ask_for_password, new_token
from creditrisk.dashboard.start import Options, serve_page

__all__ = ["Access", "Options", "access_from", "ask_for_password", "new_token", "serve_page"]
