"""A line that shows how far tuning is, in a notebook or on a terminal, and leaves one line behind."""

from __future__ import annotations

from IPython.display import display


class TrialProgress:
    """Call it with (attempt, trials done, best AUC on the tuning folds); each attempt has its own bar."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self._bars: dict[str, object] = {}

    def __call__(self, attempt: str, done: int, best: float) -> None:
        text = f"{attempt}: trial {done} of {self.trials}, best tuning AUC {best:.4f}"
        bar = f"<progress max='{self.trials}' value='{done}' aria-label='{attempt}'></progress> {text}"
        data = {"text/plain": text, "text/html": bar}
        if attempt in self._bars:
            self._bars[attempt].update(data, raw=True)
        else:
            self._bars[attempt] = display(data, raw=True, display_id=True)
