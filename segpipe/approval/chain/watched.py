"""Watched: a chain that is read again only when its files have changed."""

from pathlib import Path
from threading import Lock

from segpipe.approval.chain.folder import state_of
from segpipe.approval.chain.verification import Verified, verify


class Watched:
    """The chain of a project, for a server that asks for it at every request.

    Signing and deciding verify the files themselves and ask none of this.
    """

    def __init__(self, root: Path) -> None:
        """Watch the chain of the project in a folder."""
        self.root = root
        self._lock = Lock()
        self._known: tuple[object, Verified] | None = None

    def read(self) -> Verified:
        """The chain as it is now.

        Raises:
            DataError: If it is broken.
        """
        with self._lock:
            state = state_of(self.root)
            if self._known is None or self._known[0] != state:
                self._known = state, verify(self.root)
            chain = self._known[1]
        return chain.require_whole()
