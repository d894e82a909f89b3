"""The adapters of `Vault`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.lambda_door import S3Objects
from builders.moto_aws import MotoAws, moto_aws
from contracts.vault import CELLS, VaultContract
from zarrlink.annotations import s3_vault
from zarrlink.annotations.s3_vault import S3Vault
from zarrlink.annotations.shelf import Vault
from zarrlink_local.vault import FolderVault


class TestFolderVault(VaultContract):
    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        self.top = tmp_path / "vault"
        return FolderVault(self.top)

    def remains(self) -> set[str]:
        """Empty folders too."""
        return {
            path.relative_to(self.top).as_posix()
            for path in self.top.rglob("*")
            if path.is_file() or not list(path.iterdir())
        }


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


class TestS3Vault(VaultContract):
    @pytest.fixture
    def vault(self, aws: MotoAws) -> Vault:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        return S3Vault(self.client, self.bucket)

    def remains(self) -> set[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        keys = [*S3Objects(self.client, self.bucket), *(upload["Key"] for upload in uploads)]
        assert all(key.startswith("annotations/") for key in keys)
        return {key.removeprefix("annotations/") for key in keys}

    def test_a_location_is_one_that_functions_read_from(self, vault: Vault) -> None:
        assert self.write(vault, "r1") == f"s3://{self.bucket}/annotations/{CELLS}/r1"

    def test_more_objects_than_one_request_takes_are_removed(
        self, vault: Vault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_vault, "_DELETED_AT_ONCE", 2)
        for revision in ("r1", "r2", "r3"):
            self.write(vault, revision)
        vault.keep_only(CELLS, ("r2",))
        assert self.revisions() == {"r2"}

    def test_what_cannot_be_removed_stays(self, aws: MotoAws) -> None:
        vault = S3Vault(aws.client("s3"), "no-such-bucket")
        vault.keep_only(CELLS, ())
        vault.discard(CELLS, "r1")
