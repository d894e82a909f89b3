"""`make deploy-local` and `make undeploy-local`: template.yaml deployed to LocalStack, with a sample and a link to it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarrlink.http.page import layer_paths
from zarrlink_local import sample
from zarrlink_local.emulated_aws import ACCESS, DOOR, EmulatedAws, Programs
from zarrlink_local.emulated_deployment import BUCKET, STACK, Deployment, upload, zarrlink
from zarrlink_local.failure import FORESEEN, in_one_line

NAME = "Sample: EM-like neuropil"
USER = "you"
SIZE_XYZ = (256, 256, 128)
# Unless it is only to end.
NEEDED = ("localstack", "sam", "build", "function", "emulator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".zarrlink/localstack"), help="where LocalStack keeps all")
    parser.add_argument("--end", action="store_true", help="end it, and remove all that it keeps")
    parser.add_argument("--localstack", type=Path, help="a Python with LocalStack and our plugins")
    parser.add_argument("--sam", type=Path, help="SAM's program")
    parser.add_argument("--build", type=Path, help="what sam build made for this machine")
    parser.add_argument("--function", type=Path, help="a Python like Lambda's")
    parser.add_argument("--emulator", type=Path, help="Lambda's runtime interface emulator")
    options = parser.parse_args()
    aws = EmulatedAws(options.home)
    if options.end:
        print("LocalStack has ended, with all that it kept" if aws.stop() else "LocalStack does not run")
        return
    lacking = [f"--{name}" for name in NEEDED if getattr(options, name) is None]
    if lacking:
        parser.error(f"it needs {', '.join(lacking)}: make deploy-local names them")
    with told("template.yaml is deployed to LocalStack"):
        programs = Programs(options.localstack, options.function, options.emulator)
        Deployment(aws, options.build, options.sam).make(programs)
    with told("the sample is there"):
        dataset = sample_dataset()
    token = user_token(aws.home / "token")
    with told("the API has made a link"):
        link = sample_link(dataset, token)
    em = f"{link['page']}{layer_paths('em')['v3']}"
    print(f"""
A private link to the sample, by the deployed stack. Open its page:
    {link["page"]}

Read voxels (the environment .venv has zarr):
    import zarr
    em = zarr.open_group("{em}", mode="r")["0"]
    print(em[64, 100:104, 100:110])  # z, y, x

All pages, with the token of {USER} in {aws.home / "token"}:
    {DOOR}/

The operator's command line:
    {" ".join(f"{name}={value}" for name, value in ACCESS.items())} .venv/bin/zarrlink --stack {STACK} links list

End it: make undeploy-local        Log of LocalStack: {aws.log}
""", flush=True)  # fmt: skip


@contextmanager
def told(what: str) -> Iterator[None]:
    """A line when it is done, with how long it took."""
    started = time.monotonic()
    yield
    print(f"{what} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)


def sample_dataset() -> str:
    """Its id; made where no earlier run has made it."""
    known = {dataset["location"]: dataset["id"] for dataset in zarrlink("datasets", "list")}
    place = f"s3://{BUCKET}/{sample.NAME}"
    if place not in known:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / sample.NAME
            sample.write_sample(made, size_xyz=SIZE_XYZ, seed=7)
            upload(made, sample.NAME)
        zarrlink("datasets", "add", place)
        known = {dataset["location"]: dataset["id"] for dataset in zarrlink("datasets", "list")}
    return str(known[place])


def user_token(file: Path) -> str:
    """The personal token of an admin; kept where LocalStack keeps everything, for the next run."""
    if not file.exists():
        token = zarrlink("users", "add", USER, "--admin")["token"]
        file.touch(mode=0o600)
        file.write_text(token)
    return file.read_text()


def sample_link(dataset: str, token: str) -> dict[str, str]:
    """The link that an earlier run made, else a new one, by the deployed API."""
    links = zarrlink("links", "list", token=token)
    found = next((link for link in links if link["name"] == NAME and link["dataset"] == dataset), None)
    made: dict[str, str] = found or zarrlink("links", "create", dataset, "--name", NAME, token=token)
    return made


if __name__ == "__main__":
    try:
        main()
    except FORESEEN as error:
        print(f"make deploy-local: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
