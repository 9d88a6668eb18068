"""Asks for the password of a secret key, without showing it."""

import getpass
import os

from dr_pipeline.errors import DataError

_VARIABLE = "DR_PIPELINE_KEY_PASSWORD"


def key_password() -> str:
    """From the environment, or from the terminal.

    Raises:
        DataError: There is none in the environment, and nobody who could be asked.
    """
    given = os.environ.get(_VARIABLE)
    return _asked("password of the secret key: ") if given is None else given


def new_password() -> str:
    """From the environment, or twice from the terminal.

    Raises:
        DataError: It is empty, the two differ, or there is nobody who could be asked.
    """
    password = key_password()
    if not password:
        raise DataError("the password is empty", todo="choose one, or use --no-password")
    if _VARIABLE not in os.environ and _asked("the same again: ") != password:
        raise DataError("the two passwords differ", todo="run the command again")
    return password


def _asked(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:  # no terminal, as in a job
        raise DataError(
            "the password of the secret key cannot be asked for: there is no terminal",
            todo=f"set {_VARIABLE}, or use a key that `keygen --no-password` made",
        ) from None
