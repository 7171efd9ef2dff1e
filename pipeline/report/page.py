"""The page: one HTML file with its style and pictures inside, which asks nothing of a network and runs no script."""

from __future__ import annotations

import json
from html import escape

from pipeline.report import compared, embedding, markup, opinions, published_tables, results
from pipeline.report.collect import Content, SetFacts
from pipeline.report.sheets import readable
from pipeline.report.style import CSS

SECTIONS = (
    ("glance", "At a glance"),
    ("sources", "Sources"),
    ("likeness", "Likeness to photographs"),
    ("distortions", "Distortions"),
    ("training", "Training"),
    ("probe", "Probe"),
    ("plane", "Features in the plane"),
    ("opinions", "People’s opinions"),
    ("comparisons", "Comparisons"),
    ("published", "Beside the published figures"),
    ("run", "What ran"),
)


def build(content: Content) -> str:
    """The page of ``content``. Equal content gives equal text."""
    made = {
        "glance": results.glance(content),
        "sources": _sources(content),
        "likeness": results.likeness(content),
        "distortions": _distortions(content),
        "training": results.training(content),
        "probe": results.probe(content),
        "plane": embedding.section(list(content.embeddings)),
        "opinions": opinions.opinions(content),
        "comparisons": compared.comparisons(content),
        "published": published_tables.beside(content),
        "run": _run(content),
    }
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{title}</h2>{made[key]}</section>'
        for key, title in SECTIONS
    )
    title = escape(content.params.report.title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}: report</title><link rel="icon" href="data:,"><style>{CSS}</style></head>\n'
        f'<body><div class="page">{_header(content, title)}<main>{body}</main></div></body></html>\n'
    )


def size(count: int) -> str:
    """A number of bytes in decimal units: 1,260,000 as 1.3 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def _header(content: Content, title: str) -> str:
    sets, params = content.sets, content.params
    facts = (
        ("sources", f"{sum(s.sources for s in sets):,}"),
        ("images, 126 of each source", f"{sum(s.images for s in sets):,}"),
        ("on disk", size(sum(s.source_bytes + s.image_bytes for s in sets))),
        ("encoders compared", f"{len(content.encoders)}"),
        ("opinions predicted", f"{sum(_opinions(content).values()):,}"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in SECTIONS)
    trained = _list([readable(name) for name in params.trained])
    several = len(params.trained) > 1
    return (
        f'<header><p class="eyebrow">{title}</p><h1>Image quality from images that no camera took</h1>'
        f'<p class="lead">{"Encoders were" if several else "An encoder was"} trained on {escape(trained)} to tell '
        "25 kinds of distortion at 5 levels apart, without any opinion. Frozen, they give features from which a ridge "
        "regression predicts what people thought of an image. This page shows what was made and what was reached.</p>"
        f'<dl class="facts">{cells}</dl>{_reading(content)}<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
    )


def _reading(content: Content) -> str:
    """What the figures are and are not."""
    points = []
    if "photos" in content.databases:
        points += [
            "<strong>photos</strong> holds real photographs, distorted here. Its scores are KADID-10k’s published "
            "<em>class means</em>: what people thought of that type and level on average over KADID-10k’s 81 "
            "contents. They are not opinions of these images.",
            "The no-reference figure on photos <strong>decides nothing</strong>: so few photographs are too few "
            "contents for a regression to learn from. The full-reference figure is the one to look at.",
        ]
    points += [
        "<strong>random_init</strong> is the same network with random weights and calibrated batch norm; "
        "<strong>floor</strong> is 19 simple numbers of colour and sharpness. A trained encoder that does not pass "
        "them has learnt nothing of use.",
        "Published figures come from encoders trained on far more images and from other databases. They stand "
        "beside ours to show the distance, not as a like-for-like comparison.",
    ]
    items = "".join(f"<li>{point}</li>" for point in points)
    return f'<aside class="read"><h2>How to read the figures</h2><ul>{items}</ul></aside>'


def _opinions(content: Content) -> dict[str, int]:
    return {e.database: int(e.metrics["images"]) for e in content.evaluations}


def _sources(content: Content) -> str:
    lines = [markup.Line(escape(readable(s.name)), _set_cells(s)) for s in content.sets]
    columns = ("sources", "size", "their bytes", "distorted images", "their bytes")
    parts = [
        "<p>The images everything starts from. Dead leaves are discs with radii drawn from a power law that cover "
        "each other; in the textured set each leaf carries a texture. Their colours come from photographs.</p>",
        markup.table("Source sets and the shards made of them", columns, lines, corner="set"),
    ]
    for facts in content.sets:
        shown = sum(len(row.cells) for row in facts.sheet.rows)
        count = f"all {facts.sources}" if shown == facts.sources else f"{shown} of {facts.sources}"
        parts.append(f'<h3>{escape(readable(facts.name).capitalize())} <span class="note">{count}</span></h3>')
        parts.append(markup.tiles(facts.sheet))
    return "".join(parts)


def _set_cells(facts: SetFacts) -> list[str]:
    images = f"{facts.images:,}"
    return [f"{facts.sources:,}", facts.sizes, size(facts.source_bytes), images, size(facts.image_bytes)]


def _distortions(content: Content) -> str:
    sheet = content.distortions
    return (
        f"<p>All 25 types at 5 levels on {escape(sheet.title)}, reduced to fit. Under each picture: the parameter’s "
        "value, PSNR over the three channels, SSIM of the luma, both of the full-size image against its pristine "
        "version. The table is that of KADIS-700k, whose levels do not rise in strength in types 18 and 25. A "
        f"stand-in takes the place of a step whose original is closed.</p>{markup.grid(sheet)}"
    )


def _run(content: Content) -> str:
    dump = content.params.model_dump(mode="json", exclude={"run"})
    top = [(key, _plain(value)) for key, value in dump.items() if not isinstance(value, dict)]
    parts = ["<p>Every parameter that can change a result, the libraries, and the weights by their hashes.</p>"]
    parts.append(f"<details open><summary>The run</summary>{markup.keys(top)}</details>")
    for key, value in dump.items():
        if isinstance(value, dict):
            pairs = [(name, _plain(item)) for name, item in value.items()]
            parts.append(f"<details><summary>{escape(key)}</summary>{markup.keys(pairs)}</details>")
    parts.append(f"<details><summary>Versions</summary>{markup.keys(list(content.versions.items()))}</details>")
    parts.append(f"<details><summary>Encoders</summary>{_cards(content)}</details>")
    return "".join(parts)


def _cards(content: Content) -> str:
    lines = []
    for encoder in content.encoders:
        card = encoder.card
        about = f"{card.get('architecture', card['kind'])}" + (f", width {card['width']}" if "width" in card else "")
        cells = [
            f'<td class="text">{escape(about)}</td>',
            escape(str(card.get("dim", "–"))),
            f'<td class="text mono">{escape(str(card.get("sha256", "–")))}</td>',
        ]
        lines.append(results.line(content, encoder.name, cells))
    return markup.table(
        "Encoders and the sha256 of their weights", ("network", "feature length", "sha256"), lines, corner="encoder"
    )


def _plain(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
