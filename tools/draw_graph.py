"""Draws docs/graph.svg, the picture of the sample recipe's graph, from the graph itself.

    python tools/draw_graph.py > docs/graph.svg

One column per group, in the order in which data flows; an arrow from each input to what reads it.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from spelangy_assets.recipes.sample import SAMPLE

WIDTH, GAP_X, HEIGHT, GAP_Y, TOP = 168, 46, 30, 14, 64
GROUPS = [
    "crawl",
    "transcripts",
    "chunks",
    "synthetic",
    "conversations",
    "tokenizers",
    "tokens",
    "corpora",
    "mixes",
    "runs",
    "evals",
]
FILLS = {"raw_audio": "#d7e8f7", "raw_pages": "#dff0d8", None: "#f4e7c8"}
CHARACTER = 7.2  # the width of a character at font size 13
LEGEND = {"raw_audio": "per audio snapshot", "raw_pages": "per page snapshot", None: "not partitioned"}


def main() -> None:
    graph = SAMPLE.graph
    columns: dict[str, list] = {group: [] for group in GROUPS}
    for node in graph:
        columns[node.group].append(node)
    tallest = max(len(nodes) for nodes in columns.values())
    width = len(columns) * (WIDTH + GAP_X) + GAP_X
    height = TOP + tallest * (HEIGHT + GAP_Y) + 50
    places = {}
    for column, nodes in enumerate(columns.values()):
        top = TOP + (tallest - len(nodes)) * (HEIGHT + GAP_Y) / 2
        for row, node in enumerate(nodes):
            places[node.name] = (GAP_X + column * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="The assets of the sample recipe and what each is made from">'
    )
    print(f'<rect width="{width}" height="{height}" fill="white"/>')
    for node in graph:
        x2, y2 = places[node.name]
        for parent in node.parents:
            x1, y1 = places[parent]
            start, end = (x1 + WIDTH, y1 + HEIGHT / 2), (x2, y2 + HEIGHT / 2)
            if x1 == x2:  # inside a column: round the right-hand side
                end = (x2 + WIDTH, y2 + HEIGHT / 2)
                bend = start[0] + 22
                path = f"M{start[0]} {start[1]} C{bend} {start[1]} {bend} {end[1]} {end[0]} {end[1]}"
            else:
                middle = (start[0] + end[0]) / 2
                path = f"M{start[0]} {start[1]} C{middle} {start[1]} {middle} {end[1]} {end[0]} {end[1]}"
            print(f'<path d="{path}" fill="none" stroke="#8a94a0" stroke-width="1" opacity="0.55"/>')
    for column, group in enumerate(columns):
        x = GAP_X + column * (WIDTH + GAP_X) + WIDTH / 2
        print(f'<text x="{x}" y="36" text-anchor="middle" font-size="15" font-weight="bold" fill="#222">{group}</text>')
    for node in graph:
        x, y = places[node.name]
        fill = FILLS[node.partition]
        print(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{fill}" stroke="#556"/>')
        size = min(13, 13 * (WIDTH - 8) / (CHARACTER * len(node.name)))  # a long name stays in its box
        style = f'text-anchor="middle" font-size="{size:.3g}" fill="#111"'
        print(f'<text x="{x + WIDTH / 2}" y="{y + 20}" {style}>{escape(node.name)}</text>')
    x = GAP_X
    for kind, words in LEGEND.items():
        print(f'<rect x="{x}" y="{height - 34}" width="16" height="16" fill="{FILLS[kind]}" stroke="#556"/>')
        print(f'<text x="{x + 24}" y="{height - 21}" fill="#222">{words}</text>')
        x += 190
    print("</svg>")


if __name__ == "__main__":
    main()
