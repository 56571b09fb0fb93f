"""What benchmarks keep: measurements as rows of CSV files, and tables in the pages of docs/."""

import csv
import platform
import re
from pathlib import Path

import torch

from foldwise.files import write_text

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Figures:
    """A CSV file whose rows are measurements: appended to, and never measured twice."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def have(self, **key: object) -> bool:
        return any(all(row[k] == str(v) for k, v in key.items()) for row in self.rows())

    def add(self, **row: object) -> None:
        self.path.parent.mkdir(exist_ok=True)
        new = not self.path.is_file()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    name = re.search(r"model name\s*:\s*(.*)", text)
    return f"{torch.get_num_threads()} threads of {name[1] if name else platform.machine()}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table whose columns but the first are numbers."""
    if not rows:
        return "Not measured yet.\n"
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def into_page(page: Path, tables: dict[str, str]) -> None:
    """Put each table between the marks ``<!-- name -->`` and ``<!-- end of name -->``."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        head, first, rest = text.partition(f"<!-- {name} -->\n")
        _, last, tail = rest.partition(f"<!-- end of {name} -->")
        if not first or not last:
            raise SystemExit(f"{page} has no place marked for '{name}'")
        text = head + first + table + last + tail
    write_text(page, text)
    print(f"{page} is written")
