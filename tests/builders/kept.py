"""The two states that commands work on, each with somewhere to put datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from builders.lambda_door import S3Objects
from builders.moto_aws import MotoAws
from builders.moto_stack import ADDRESS, deploy
from builders.wkw_files import Objects
from zarrlink_local.cloud import open_stack
from zarrlink_local.machine import open_machine
from zarrlink_local.state import State


class Kept(ABC):
    """A state by its options on the command line. `address`: what its links begin with."""

    options: tuple[str, ...]
    address: str

    @abstractmethod
    def opened(self) -> State:
        """As the commands open it."""

    @abstractmethod
    def place(self, folder: str) -> str:
        """How a folder is called on the command line."""

    @abstractmethod
    def read(self, key: str) -> bytes: ...

    @abstractmethod
    def write(self, key: str, data: bytes) -> None: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    def put(self, folder: str, objects: Objects) -> str:
        """The place of a dataset in a folder."""
        for key, data in objects.items():
            self.write(f"{folder}/{key}", data)
        return self.place(folder)


class KeptInFile(Kept):
    """A state file as a running server leaves it."""

    address = "http://127.0.0.1:1234"

    def __init__(self, home: Path) -> None:
        self._home = home
        self.options = ("--state", str(home / "state.sqlite"))
        open_machine(home / "state.sqlite").set_address(self.address)

    def opened(self) -> State:
        return open_machine(self._home / "state.sqlite")

    def place(self, folder: str) -> str:
        return str(self._home / "data" / folder)

    def read(self, key: str) -> bytes:
        return Path(self.place(key)).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        path = Path(self.place(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        Path(self.place(key)).unlink()


class KeptInStack(Kept):
    """A stack with one bucket. Needs moto's environment."""

    address = ADDRESS

    def __init__(self, aws: MotoAws) -> None:
        self.bucket = aws.new_bucket()
        self.name = deploy(aws, [self.bucket, "another-bucket"])
        self.options = ("--stack", self.name)
        self._objects = S3Objects(aws.client("s3"), self.bucket)

    def opened(self) -> State:
        return open_stack(self.name)

    def place(self, folder: str) -> str:
        return f"s3://{self.bucket}/{folder}"

    def read(self, key: str) -> bytes:
        return self._objects[key]

    def write(self, key: str, data: bytes) -> None:
        self._objects[key] = data

    def remove(self, key: str) -> None:
        del self._objects[key]
