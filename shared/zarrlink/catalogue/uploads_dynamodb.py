"""Large uploads on their way to an annotation, in DynamoDB: rows of the table of annotations, by `upload-ID`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Final, Literal

from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, delete_action
from zarrlink.rows import reads

State = Literal["open", "importing", "done", "failed"]
_PREFIX: Final = "upload-"
_ENDED: Final = ("done", "failed")


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload. `name`: the file's; `length`: its bytes, as announced; `dataset`: an id, or "" for the one of the NML.

    `annotation`: the id that it becomes. `multipart`: S3's id of the upload of its parts. `sentence`: why it failed.
    `attempts`: how often its import was begun. `created_ms`: since 1970, UTC.
    """

    id: str
    owner: str
    name: str
    length: int
    dataset: str
    annotation: str
    multipart: str
    created_ms: int
    state: State = "open"
    sentence: str = ""
    attempts: int = 0


class DynamoUploads:
    """Uploads by id."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, record: UploadRecord) -> bool:
        """False where the id is taken."""
        return self._table.put_new({**asdict(record), "id": _PREFIX + record.id})

    def get(self, upload_id: str) -> UploadRecord | None:
        row = self._table.get(_PREFIX + upload_id)
        return None if row is None else _record(row)

    def set_state(self, upload_id: str, state: State, sentence: str = "") -> bool:
        """False for one that is done or has failed already, and for one that is not there."""
        values = {"state": state, "sentence": sentence, "done": _ENDED[0], "failed": _ENDED[1]}
        condition = "attribute_exists(#id) AND NOT #state IN (:done, :failed)"
        change = "SET #state = :state, #sentence = :sentence"
        return self._table.update(_PREFIX + upload_id, change, condition, values) is not None

    def begin_attempt(self, upload_id: str) -> int:
        """Which attempt to import it begins now, from 1; 0 where there is no such upload."""
        change = "SET #attempts = #attempts + :one"
        row = self._table.update(_PREFIX + upload_id, change, "attribute_exists(#id)", {"one": 1})
        return 0 if row is None else int(row["attempts"])

    def remove(self, upload_id: str) -> bool:
        """Forget an upload that is still open. False for any other."""
        condition = "#state = :open"
        return self._table.transact(delete_action(_PREFIX + upload_id, condition, {"open": "open"}))


@reads("upload", itemgetter("id"))
def _record(row: Row) -> UploadRecord:
    return UploadRecord(**{**row, "id": row["id"].removeprefix(_PREFIX)})
