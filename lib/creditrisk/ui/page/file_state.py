"""What the File tab knows, without a widget."""

from __future__ import annotations

from traitlets import HasTraits

from creditrisk.serving.model import ModelData
from creditrisk.ui.page.log_access import LogAccess


class FileState(HasTraits):
    """The File tab."""

    def __init__(self, data: ModelData, log: LogAccess, artifacts: str = "") -> None:
        super().__init__()
        self._data, self._log, self._artifacts = data, log, artifacts
