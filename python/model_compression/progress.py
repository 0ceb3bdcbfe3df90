"""What the native core has to say while it works: bars by tqdm where that is installed, and logging."""

import logging
import threading
from contextlib import suppress

logger = logging.getLogger("model_compression")
_enabled = True


def show_progress(enabled: bool = True) -> None:
    """Whether long work shows a bar (by default it does, on a terminal or in a notebook, with tqdm installed)."""
    global _enabled
    _enabled = bool(enabled)


def listener() -> "Listener":
    """One that shows bars as `show_progress` says."""
    return Listener(_tqdm() if _enabled else None)


def _tqdm():
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


class Listener:
    """Receives messages and progress from the native core, from any of its threads."""

    def __init__(self, tqdm=None):
        self._tqdm = tqdm
        self._bars = {}
        self._lock = threading.Lock()

    def log(self, level: str, message: str) -> None:
        logger.log(getattr(logging, level.upper()), "%s", message)

    def progress(self, title: str, done: int, total: int, note: str, finished: bool) -> None:
        if self._tqdm is None:
            return
        with self._lock:
            bar = self._bars.get(title)
            if bar is None:
                if finished and done == 0:
                    return
                # disable=None: no bar where nobody would see one, such as in a file.
                bar = self._tqdm(desc=title, total=total or None, leave=False, disable=None)
                self._bars[title] = bar
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)
            if finished:
                self._close(title)

    def close(self) -> None:
        """Ends bars of work that did not finish."""
        with self._lock:
            for title in list(self._bars):
                self._close(title)

    def _close(self, title: str) -> None:
        with suppress(KeyError):
            self._bars.pop(title).close()
