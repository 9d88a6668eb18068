"""Asks for the password of a secret key, without showing it."""

import getpass
import os

from dr_pipeline.errors import DataError

_VARIABLE = "DR_PIPELINE_KEY_PASSWORD"


def key_password() -> str:
    """From the environment, or from the terminal."""
    given = os.environ.get(_VARIABLE)
    return getpass.getpass("password of the secret key: ") if given is None else given


def new_password() -> str:
    """From the environment, or twice from the terminal.

    Raises:
        DataError: It is empty, or the two differ.
    """
    password = key_password()
    if not password:
        raise DataError("the password is empty", todo="choose one, or use --no-password")
    if _VARIABLE not in os.environ and getpass.getpass("the same again: ") != password:
        raise DataError("the two passwords differ", todo="run the command again")
    return password
