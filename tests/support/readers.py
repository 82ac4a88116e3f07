"""A review with its people: the accounts, a dossier, and clients that are logged in."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import uvicorn
from argon2 import PasswordHasher
from starlette.types import ASGIApp

from segpipe.approval import keys
from segpipe.approval.chain.verification import verify
from segpipe.approval.chain.watched import Watched
from segpipe.approval.people import Roster
from segpipe.approval.records import Role
from segpipe.project.paths import Paths
from segpipe.review.accounts import passwords
from segpipe.review.accounts.assignments import Reader, assign
from segpipe.review.accounts.database import Database, address_of, open_database
from segpipe.review.accounts.tables import User
from segpipe.review.accounts.users import Newcomer, add_user, find_user
from segpipe.review.server.app import build_app, build_settings
from segpipe.review.shelf import Volume, open_volume
from tests.support.dossiers import write_dossier
from tests.support.reviews import CHEAP
from tests.support.servers import free_port, wait_until

PASSWORD = "four random words"
ADMIN = ("ada", PASSWORD)  # the first person of each chain
# Tests log in hundreds of times; what the real costs are is tested with passwords.py.
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
passwords.NOBODY = passwords.HASHER.hash("nobody has this password")


@dataclass
class Review:
    database: Database
    volume: Volume
    root: Path
    url: str = ""  # while it is served
    clients: list[httpx.Client] = field(default_factory=list)
    known: dict[str, httpx.Client] = field(default_factory=dict)  # by name

    def add(self, name: str, *roles: Role, reads: bool = True) -> User:
        newcomer = Newcomer(name, f"Dr {name.title()}", roles or ("reader",))
        by = None if name == ADMIN[0] else ADMIN
        add_user(self.database, newcomer, PASSWORD, self.root, by=by)
        user, _ = find_user(self.database, name, self.roster)
        if reads:
            self.give(user)
        return user

    def give(self, user: User, *items: str) -> None:
        own = items or [*self.volume.items]
        digest = self.volume.digest
        assign(self.database, user, dossier=digest, items=own, purpose="read")

    @property
    def roster(self) -> Roster:
        return verify(self.root).require_whole().roster

    @property
    def chain(self) -> Watched:
        return Watched(self.root)

    def reader(self, name: str) -> Reader:
        return Reader(*find_user(self.database, name, self.roster), self.volume)

    def build(self, port: int) -> ASGIApp:
        folder = self.root / ".reviews"
        return build_app(self.database, folder, records=self.root, port=port)

    @property
    def address(self) -> str:
        return f"/reviews/{self.volume.id}"

    def item(self, place: int = 0) -> str:
        return f"{self.address}/items/{self.volume.dossier.items[place].id}"

    def ratings(self, **others: str) -> dict[str, str]:
        scores = {
            f"score-{letter}-{structure.value}": "4"
            for letter in "ABC"
            for structure in self.volume.dossier.structures
        }
        return {**scores, **others}


def open_review(root: Path, *, database: str = "", **dossier: object) -> Review:
    folder = write_dossier(root / ".reviews/phantom-3", **dossier)  # type: ignore[arg-type]
    keys.COST = CHEAP
    accounts = open_database(database or f"sqlite:///{root}/accounts.db")
    review = Review(accounts, open_volume(folder), root)
    review.add(ADMIN[0], "admin", reads=False)
    return review


def staff(root: Path, *readers: str) -> None:
    """An admin and readers, in the accounts of a project."""
    keys.COST = CHEAP
    database = open_database(address_of(Paths(root)))
    for name in (ADMIN[0], *readers):
        roles: tuple[Role, ...] = ("admin",) if name == ADMIN[0] else ("reader",)
        by = None if name == ADMIN[0] else ADMIN
        newcomer = Newcomer(name, f"Dr {name.title()}", roles)
        add_user(database, newcomer, PASSWORD, root, by=by)
    database.close()


def stranger(review: Review) -> httpx.Client:
    headers = {"origin": review.url}
    client = httpx.Client(base_url=review.url, headers=headers, trust_env=False)
    review.clients.append(client)
    return client


def log_in(client: httpx.Client, name: str, password: str = PASSWORD) -> int:
    csrf = token_in(client.get("/login").text)
    form = {"name": name, "password": password, "csrf": csrf}
    return client.post("/login", data=form).status_code


def member(review: Review, name: str) -> httpx.Client:
    client = stranger(review)
    assert log_in(client, name) == 303
    return client


def known_member(review: Review, name: str) -> httpx.Client:
    """A client that logged in before, as the server counts logins."""
    if name not in review.known:
        review.known[name] = member(review, name)
    return review.known[name]


def token_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def hidden_in(page: str) -> dict[str, str]:
    """The hidden fields of a page; the form of each has the same."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page))


def send(client: httpx.Client, address: str, **fields: str) -> int:
    """Send a form as the page at this address would, else with the token of ``/``."""
    own = {"csrf": token_in(client.get("/").text)}
    if address.endswith(("/sign", "/decide")):  # others note that they were opened
        own |= hidden_in(client.get(address).text)
    return client.post(address, data=own | fields).status_code


def sign_all(review: Review, name: str, volume: Volume | None = None) -> httpx.Client:
    """A reader who read all of a dossier and signed it."""
    own = replace(review, volume=volume or review.volume)
    own.add(name)
    client = known_member(own, name)
    for place in range(len(own.volume.items)):
        assert send(client, own.item(place), **own.ratings()) == 303
    assert send(client, f"{own.address}/sign", password=PASSWORD) == 303
    return client


@contextmanager
def served(review: Review) -> Iterator[Review]:
    """The review on a port of this machine."""
    port = free_port()
    app = review.build(port)
    server = uvicorn.Server(uvicorn.Config(app, **build_settings(port)))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), 60, often_s=0.02)
    assert server.started, f"the review did not start on port {port}"
    review.url = f"http://127.0.0.1:{port}"
    try:
        yield review
    finally:
        for client in review.clients:
            client.close()
        server.should_exit = True
        thread.join(20)
        review.database.close()
