"""A terminal's text as a picture, for the README: ./run.sh fold=0..4 2>&1 | python docs/picture.py

Reads the text from standard input and writes docs/run.svg.
"""

import sys
from html import escape
from pathlib import Path

LINE, LETTER, EDGE = 19, 8.0, 16  # pixels
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


def picture(command: str, output: str) -> str:
    """An SVG of ``output`` below the command that printed it."""
    lines = [f"$ {command}", *output.rstrip().splitlines()]
    width = round(2 * EDGE + LETTER * max(map(len, lines)))
    height = 2 * EDGE + LINE * len(lines)
    rows = [
        f'<text x="{EDGE}" y="{EDGE + LINE * n + 14}" fill="{"#7ee787" if not n else "#e6edf3"}" '
        f'xml:space="preserve">{escape(line)}</text>'
        for n, line in enumerate(lines)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" font-family="{FONT}" font-size="13">',
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            *rows,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    svg = picture("./run.sh fold=0..4", sys.stdin.read())
    (Path(__file__).parent / "run.svg").write_text(svg, encoding="utf-8")
