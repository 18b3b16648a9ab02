"""The page that people work in: a tab for each kind of work, its state in one module and its widgets in another."""

from creditrisk.ui.page.shell import open_page, prepare
from creditrisk.ui.page.visit import wait_for_visitor

__all__ = ["open_page", "prepare", "wait_for_visitor"]
