"""An answer that is no row: what is wrong with the request, and the way out."""

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """Ends a request; becomes its answer.

    Args:
        status: Of the answer.
        error: What is wrong.
        todo: What the sender does next.
        headers: Further ones of the answer.
    """

    def __init__(self, status: HTTPStatus, error: str, todo: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.todo, self.headers = status, error, todo, headers or {}

    def body(self) -> dict[str, str]:
        """The answer's JSON."""
        return {"error": self.error, "todo": self.todo}
