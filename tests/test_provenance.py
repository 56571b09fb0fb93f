from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.errors import FoldwiseError
from foldwise.provenance import Provenance, read_provenance, read_table, write_table


def frame(ids: list[str]) -> pd.DataFrame:
    probs = np.random.default_rng(0).dirichlet([1, 1], len(ids)).astype(np.float32)
    table = pd.DataFrame({"id": ids, "fold": 3, "label": "a"})
    return pd.concat([table, pd.DataFrame(probs, columns=["prob_a", "prob_b, c"])], axis=1)


PROVENANCE = Provenance(3, "recipe", "folds", [3], ["0001"])


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = frame(["0001", "1e5", "NA"])
    write_table(tmp_path / "t.parquet", written, PROVENANCE)
    read, origin = read_table(tmp_path / "t.parquet")
    assert read["id"].tolist() == ["0001", "1e5", "NA"]
    assert read.columns.tolist() == written.columns.tolist()
    assert read["prob_a"].dtype == np.float32
    np.testing.assert_array_equal(read["prob_a"], written["prob_a"])
    assert origin == PROVENANCE == read_provenance(tmp_path / "t.parquet")


def test_equal_tables_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(tmp_path / name, frame(["a", "b"]), PROVENANCE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PAR1 no table", b"id,prob_a\n"])
def test_a_damaged_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "oof.parquet").write_bytes(content)
    with pytest.raises(FoldwiseError, match=r"oof\.parquet is not a table of foldwise"):
        read_table(tmp_path / "oof.parquet")


def test_a_missing_or_foreign_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FoldwiseError, match="is not there"):
        read_table(tmp_path / "oof.parquet")
    frame(["a"]).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(FoldwiseError, match="not a table of foldwise"):
        read_table(tmp_path / "foreign.parquet")
