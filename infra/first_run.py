"""The first day of a stack: its first user, who is an admin, and where to sign in.

    first_run.py STACK USER

Prints the address of the web page, and the user's token, once: only its hash is kept. Works with your own AWS credentials, in the
region that AWS_REGION names. Exit status 2, with one line, where the stack is not there or has that user already.
"""

from __future__ import annotations

import sys

from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink.users.interface import User, check_user_name, hash_user_token, new_user_token
from zarrlink_local.cloud import open_stack
from zarrlink_local.machine import now_ms


def main() -> None:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    stack, name = sys.argv[1:]
    if not name:
        print("first_run: say who the first user is: make first-user NAME=ann", file=sys.stderr)
        sys.exit(2)
    try:
        print(add_first_user(stack, name))
    except (InvalidRequest, SourceUnavailable) as error:
        print(f"first_run: {error}", file=sys.stderr)
        sys.exit(2)


def add_first_user(stack: str, name: str) -> str:
    """What to tell them. Raises InvalidRequest for a name that is taken or cannot be one."""
    check_user_name(name)
    state = open_stack(stack)
    if name in {user.name for user in state.users.all()}:
        raise InvalidRequest(
            f"there is a user {name} already; `zarrlink --stack {stack} users token {name}` gives another token"
        )
    token = new_user_token()
    state.users.add(User(name, now_ms(), True), hash_user_token(token))
    buckets = sorted(state.stack.buckets)
    return (
        f"zarrlink answers at {state.stack.address}/\n"
        f"sign in there as {name}, an admin, with this token, which is shown only now:\n"
        f"{token}\n"
        f"next: zarrlink --stack {stack} datasets add s3://{buckets[0]}/FOLDER"
    )


if __name__ == "__main__":
    main()
