"""Table files: CSV as spreadsheets and pandas write it, Parquet; what is damaged is one line that says what."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from softmax_regression.download import table_files
from softmax_regression.download.table_files import Table


def csv(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    """Write a file."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def numbers(table: Table, *names: str) -> list[list[Any]]:
    """Return these columns as numbers, row by row."""
    batches = table.batches(dict.fromkeys(names, pa.float64()))
    rows: list[list[Any]] = np.concatenate([b.to_tensor(null_to_nan=True).to_numpy() for b in batches]).tolist()
    return rows


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2.5\n3,4\n",
        "\ufeffa,b\n1,2.5\n3,4\n",
        "a,b\r\n1,2.5\r\n3,4\r\n",
        "a,b\n1,2.5\n3,4",
        " a , b\n 1 , 2.5\n3,4\n",
        '"a","b"\n"1","2.5"\n"3","4"\n',
        "a;b\n1;2,5\n3;4\n",
        "a;b\n1;2.5\n3;4\n",
        "a\tb\n1\t2.5\n3\t4\n",
        "a|b\n1|2.5\n3|4\n",
        "a,b\n\n1,2.5\n3,4\n\n",
    ],
)
def test_csv_as_programs_write_it(tmp_path: Path, content: str) -> None:
    """A byte order mark, Windows' line ends, quotes, blanks, other separators and decimal commas read alike."""
    table = Table(csv(tmp_path, content))
    assert [*table.columns] == ["a", "b"]
    assert numbers(table, "b", "a") == [[2.5, 1], [4, 3]]
    told = any(sign in content for sign in ";\t|")
    assert len(table.notes) == told
    assert ("decimal" in "".join(table.notes)) == ("2,5" in content)


def test_what_is_missing(tmp_path: Path) -> None:
    """Nothing, NA, NaN, None and a question mark are gaps in numbers; a column of gaps is one of numbers."""
    table = Table(csv(tmp_path, "a,b\n1,\nNA,NaN\n?,None\nnull,\n"))
    np.testing.assert_array_equal(numbers(table, "a", "b"), [[1, np.nan], *[[np.nan] * 2] * 3])


def test_text_and_booleans(tmp_path: Path) -> None:
    """Booleans become 1 and 0; text in quotes may hold separators and line ends."""
    table = Table(csv(tmp_path, 'a,b\nTrue,"x, y\nz"\nfalse,"say ""no"""\n'))
    assert numbers(table, "a") == [[1], [0]]
    (batch,) = table.batches({"b": pa.string()})
    assert batch.column("b").to_pylist() == ["x, y\nz", 'say "no"']


def test_a_table_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are whole in the first block may have a point in the next, in CSV and in Parquet."""
    frame = pd.DataFrame({"a": [*range(3000), 0.5], "y": ["x"] * 3001})
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    monkeypatch.setattr(table_files, "_CSV_BLOCK", 4096)
    monkeypatch.setattr(table_files, "_PARQUET_BLOCK", 1000)
    for name in ("table.csv", "table.parquet"):
        table = Table(tmp_path / name)
        assert len(list(table.batches({"a": pa.float64()}))) > 3
        assert numbers(table, "a") == frame[["a"]].to_numpy().tolist()


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "Empty CSV file; give a whole .csv file"),
    "two columns of one name": ("a,b,a \n1,2,3\n", "a names more than one column; give each column its own name"),
    "a short row": ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
    "a long row": ("a,b\n1,2\n3,4,5\n", "Expected 2 columns, got 3"),
    "text among numbers": (
        "b,a\n1,2\n3,4\n5,six\n",
        "column a holds 'six' among numbers in row 3; correct it, or name",
    ),
    "another encoding": ("a,größe\n1,2\n".encode("latin-1"), "save it as UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "save it as UTF-8"),
    "another kind": (b"PK\x03\x04\xff\xfe\x00rubbish\n" * 9, "save it as UTF-8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_csv_that_is_none(tmp_path: Path, fault: str) -> None:
    """The file, what is wrong, what to do, in one line."""
    content, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message) as caught:
        numbers(Table(csv(tmp_path, content)), "a")
    assert str(caught.value).startswith(f"{tmp_path}/table.csv: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", ["nothing", "truncated", "another kind", "damaged"])
def test_a_parquet_file_that_is_none(tmp_path: Path, fault: str) -> None:
    """Empty, cut off, or CSV under that name: one line."""
    pd.DataFrame({"a": np.arange(999.0)}).to_parquet(tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    content = {
        "nothing": b"",
        "truncated": whole[:-9],
        "another kind": b"a\n1\n",
        "damaged": whole[:4] + b"0" * 99 + whole[103:],
    }
    with pytest.raises(ValueError, match=r"give a whole .parquet file$") as caught:
        numbers(Table(csv(tmp_path, content[fault], "table.parquet")), "a")
    assert "\n" not in str(caught.value)
