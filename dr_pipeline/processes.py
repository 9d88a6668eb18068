"""Worker processes: what every one of them does first."""

import multiprocessing
import os
import threading


def exit_with_parent() -> None:
    """Ends this worker when its parent process is gone; a killed parent cannot stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, name="exit-with-parent", daemon=True).start()
