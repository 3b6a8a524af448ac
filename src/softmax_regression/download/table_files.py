"""A table in a file, CSV or Parquet, as Arrow's batches: whatever its size, some rows are in memory at a time."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from softmax_regression.download.finding import some

_CSV_BLOCK = 2**22  # bytes; more for long lines, as a line must fit into it
_PARQUET_BLOCK = 2**20  # values
_DELIMITERS = ",;\t|"
_MISSING = [*csv.ConvertOptions().null_values, "?", "None"]  # "?" as the UCI repository has it


class Table:
    """The columns of a table by name, each with its type, and its rows.

    metadata: what Hugging Face's `datasets` or pandas wrote beside a Parquet file. Raises ValueError for what is no
    table, or has a name twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.rows: int | None = None  # where the file says it
        self.metadata: Mapping[bytes, bytes] = {}
        self._is_csv = path.suffix.lower() != ".parquet"
        try:
            schema = self._open_csv() if self._is_csv else self._open_parquet()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None
        names = [name.strip() for name in schema.names]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{path}: {some(twice)} names more than one column; give each column its own name")
        self.columns: dict[str, Any] = dict(zip(names, schema.types, strict=True))
        self._in_file = dict(zip(names, schema.names, strict=True))

    def batches(self, types: Mapping[str, Any]) -> Iterator[Any]:
        """Yield these columns, in this order, as these types."""
        wanted = pa.schema(types.items())
        try:
            for batch in self._csv_batches(types) if self._is_csv else self._parquet_batches(types):
                named = batch.rename_columns([*types])
                yield named if named.schema.equals(wanted) else named.cast(wanted, safe=False)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def _parquet_batches(self, types: Mapping[str, Any]) -> Iterator[Any]:
        names = [self._in_file[name] for name in types]
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(max(1, _PARQUET_BLOCK // len(names)), columns=names):
                yield batch.select(names)

    def _csv_batches(self, types: Mapping[str, Any]) -> Iterator[Any]:
        """Numbers may be whole in the first rows only; booleans are booleans throughout."""
        kinds = {
            self._in_file[name]: self.columns[name]
            if pa.types.is_boolean(self.columns[name]) and kind != pa.string()
            else kind
            for name, kind in types.items()
        }
        with self._csv_reader(include_columns=list(kinds), column_types=kinds) as reader:
            yield from reader

    def _open_parquet(self) -> Any:
        with parquet.ParquetFile(self.path) as file:
            self.metadata, self.rows = file.schema_arrow.metadata or {}, file.metadata.num_rows
            return file.schema_arrow

    def _open_csv(self) -> Any:
        with self.path.open(encoding="utf-8-sig") as file:
            header, first = file.readline(), file.readline()
        self._delimiter = max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)
        self._block = max(_CSV_BLOCK, 64 * len(first))
        self._point = "," if self._delimiter != "," and re.search(r"\d,\d", first) else "."
        if self._delimiter != ",":
            point = ", and a comma is the decimal point" if self._point == "," else ""
            self.notes.append(f"{self.path.name}: {self._delimiter!r} separates its columns{point}")
        with self._csv_reader() as reader:
            return reader.schema

    def _csv_reader(self, **options: Any) -> Any:
        return csv.open_csv(
            self.path,
            read_options=csv.ReadOptions(block_size=self._block, use_threads=False),  # so that an error names its row
            parse_options=csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                null_values=_MISSING, strings_can_be_null=True, decimal_point=self._point, **options
            ),
        )

    def _damaged(self, error: Exception) -> ValueError:
        said = " ".join(str(error).split())
        remedy = f"give a whole {self.path.suffix.lower()} file"
        if "utf" in said.lower():
            remedy = "save it as UTF-8"
        if place := re.search(r"column #(\d+): (?:Row #(\d+): )?.*invalid value '(.*)'", said):
            row = f" in row {int(place[2]) - 1}" if place[2] else ""  # Arrow counts the header, too
            said = f"column {[*self.columns][int(place[1])]} holds {place[3]!r} among numbers{row}"
            remedy = "correct it, or name the column in download.own.leave_out"
        return ValueError(f"{self.path}: {said[:300]}; {remedy}")
