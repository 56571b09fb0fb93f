"""The tables of docs/models.md, from what `bench_models.py` has kept in docs/models/*.csv."""

import math

from figures import DOCS, Figures, into_page, markdown

FOLDER, PAGE = DOCS / "models", DOCS / "models.md"
LINEAR = "linear on the pixels"


def write_page() -> None:
    tables = {"speed": speed_table, "learning": learning_table, "digits": digit_table}
    into_page(
        PAGE, {name: made(Figures(FOLDER / f"{name}.csv").rows()) for name, made in tables.items()}
    )


def speed_table(rows: list[dict[str, str]]) -> str:
    parts = []
    for where in dict.fromkeys(row["machine"] for row in rows):
        mine = [row for row in rows if row["machine"] == where]
        parts.append(f"On {where}, {mine[0]['precision']}, batches of 64 (256 for inference):\n\n")
        head = ["model", "parameters", "multiply-adds", "training, images/s", "inference, images/s"]
        lines = [
            [
                f"`{row['model']}`",
                f"{float(row['parameters']) / 1e6:,.2f} M",
                f"{float(row['multiply_adds']) / 1e6:,.1f} M",
                f"{float(row['training']):,.0f}",
                f"{float(row['inference']):,.0f}",
            ]
            for row in sorted(mine, key=lambda row: -float(row["training"]))
        ]
        parts.append(markdown(head, lines))
    return "".join(parts) or markdown([], [])


def learning_table(rows: list[dict[str, str]]) -> str:
    """The rows of a machine, those of more minutes than the linear model had among them."""
    parts = []
    for where in dict.fromkeys(row["machine"] for row in rows):
        mine = [row for row in rows if row["machine"] == where]
        line = next((float(r["accuracy"]) for r in mine if r["model"] == LINEAR), math.nan)
        parts.append(f"On {where}:\n\n")
        head = ["model", "accuracy", "above linear", "minutes", "epochs", "images/s"]
        lines = [
            [
                f"`{row['model']}`",
                f"{float(row['accuracy']):.4f}",
                f"{float(row['accuracy']) - line:+.4f}",
                f"{float(row['minutes']):g}",
                row["epochs"],
                f"{float(row['images_per_second']):,.0f}",
            ]
            for row in sorted(mine, key=lambda row: -float(row["accuracy"]))
        ]
        parts.append(markdown(head, lines))
    return "".join(parts) or markdown([], [])


def digit_table(rows: list[dict[str, str]]) -> str:
    lines = [[f"`{r['model']}`", f"{float(r['accuracy']):.4f}", r["epochs"]] for r in rows]
    return markdown(["model", "accuracy", "epochs"], lines)
