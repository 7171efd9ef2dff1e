"""Every database in its official layout, with tiny pictures: written by a function each, judged by a row."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from tests.databases import fixtures
from tests.databases.fixtures import save

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@dataclass(frozen=True)
class Layout:
    """``write`` makes the folder; then it has ``scored`` images and ``references``, and ``image`` has ``row``."""

    write: Callable[[Path], Any]
    scored: int
    references: int
    image: str
    row: dict[str, object]


def workbook(
    path: Path, sheets: dict[str, Sequence[Sequence[object]]], *, strings_part: str = "sharedStrings.xml"
) -> None:
    """An .xlsx as Excel writes it: strings shared, empty cells left out."""
    strings: list[str] = []
    parts, links, entries = {}, [], []
    for number, (name, rows) in enumerate(sheets.items(), 1):
        body = "".join(f'<row r="{r}">{_cells(r, row, strings)}</row>' for r, row in enumerate(rows, 1))
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>'
        )
        links.append(_link(f"rId{number}", "worksheet", f"worksheets/sheet{number}.xml"))
        entries.append(f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>')
    links.append(_link("rId99", "sharedStrings", f"/xl/{strings_part}"))
    parts["_rels/.rels"] = (
        f'<Relationships xmlns="{PACKAGE}">{_link("rId1", "officeDocument", "xl/workbook.xml")}</Relationships>'
    )
    parts["xl/_rels/workbook.xml.rels"] = f'<Relationships xmlns="{PACKAGE}">{"".join(links)}</Relationships>'
    parts["xl/workbook.xml"] = (
        f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>{"".join(entries)}</sheets></workbook>'
    )
    items = "".join(f"<si><r><t>{escape(text[:2])}</t></r><r><t>{escape(text[2:])}</t></r></si>" for text in strings)
    parts[f"xl/{strings_part}"] = f'<sst xmlns="{MAIN}">{items}</sst>'
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for part, text in parts.items():
            book.writestr(part, f'<?xml version="1.0" encoding="UTF-8"?>{text}')


def _link(identity: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{identity}" Type="{LINKS}/{kind}" Target="{target}"/>'


def _cells(number: int, row: Sequence[object], strings: list[str]) -> str:
    cells = []
    for column, value in enumerate(row):
        at = f"{chr(ord('A') + column)}{number}"
        if isinstance(value, str):
            strings.append(value)
            cells.append(f'<c r="{at}" t="s"><v>{len(strings) - 1}</v></c>')
        elif value is not None:
            cells.append(f'<c r="{at}"><v>{value}</v></c>')
    return "".join(cells)


def matlab(path: Path, **vectors: Sequence[object]) -> None:
    """A .mat file of row vectors: numbers, or cells with a string each."""
    import scipy.io

    arrays = {
        name: np.array([list(values)], dtype=object if isinstance(values[0], str) else np.float64)
        for name, values in vectors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, arrays, do_compression=True)


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def live(folder: Path) -> None:
    counts = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
    names = [f"{kind}/img{n}.bmp" for kind, count in counts.items() for n in range(1, count + 1)]
    for number, name in enumerate(names):
        save(folder / name, number, "bmp", size=4)
    for number, name in enumerate(("bikes", "womanhat")):
        save(folder / "refimgs" / f"{name}.bmp", 2000 + number, "bmp")
    copies = [n % 5 == 0 for n in range(len(names))]
    matlab(
        folder / "dmos_realigned.mat",
        dmos_new=[0.0 if copy else n / 10 - 2.5 for n, copy in enumerate(copies)],
        dmos_std=[0.0 if copy else 7.5 for copy in copies],
        orgs=[float(copy) for copy in copies],
    )
    matlab(folder / "refnames_all.mat", refnames_all=[("bikes.bmp", "womanhat.bmp")[n % 2] for n in range(len(names))])
    text(folder / "jp2k" / "info.txt", "bikes.bmp img1.bmp 0.0")


def csiq(folder: Path) -> None:
    header = [None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]
    rows: list[Sequence[object]] = [["DMOS of all images"], [None], [None], header]
    kinds = {"noise": "AWGN", "jpeg": "JPEG", "jpeg 2000": "jpeg2000", "fnoise": "fnoise", "blur": "BLUR"}
    for number, name in enumerate((1600, "elk")):
        save(folder / "src_imgs" / f"{name}.png", number)
        for index, (kind, token) in enumerate({**kinds, "contrast": "contrast"}.items(), 1):
            for level in (1, 3 if kind == "contrast" else 5):
                save(
                    folder / "dst_imgs" / token.lower() / f"{name}.{token}.{level}.png",
                    100 * number + 10 * index + level,
                )
                rows.append([None, None, None, name, index, kind, level, 0.03125, level / 8])
    for number, left in enumerate(("1600.contrast.5.png", "elk.contrast.4.png")):
        save(folder / "dst_imgs/contrast" / left, 5000 + number)
    workbook(folder / "csiq.DMOS.xlsx", {"legend": [["sheets"]], "all_by_image": [*rows, ["the end"]]})


def clive(folder: Path) -> None:
    """As released: one photograph is there twice, 246.bmp and 333.bmp, with two scores."""
    names = [*(f"t{n}.bmp" for n in range(1, 8)), "3.bmp", "10.bmp", "1024.JPG", "246.bmp", "333.bmp"]
    for number, name in enumerate(names):
        below = "Images/trainingImages" if name.startswith("t") else "Images"
        save(folder / below / name, min(number, 10), name[-3:].lower())
    matlab(folder / "Data/AllImages_release.mat", AllImages_release=names)
    matlab(folder / "Data/AllMOS_release.mat", AllMOS_release=[8.5 * n for n in range(12)])
    matlab(folder / "Data/AllStdDev_release.mat", AllStdDev_release=[20.0 + n for n in range(12)])


def spaq(folder: Path) -> None:
    rows: list[Sequence[object]] = [["Image name", "MOS", "Brightness", "Colorfulness"]]
    for number in range(1, 4):
        save(folder / "TestImage" / f"{number:05d}.jpg", number, "jpg")
        rows.append([f"{number:05d}.jpg", 20.75 * number, 50, 60.5])
    workbook(folder / "Annotations/MOS and Image attribute scores.xlsx", {"Sheet1": rows})


def flive(folder: Path) -> None:
    names = ["AVA__149.jpg", "AVA__150.jpg", "EMOTIC__5ge7.jpg", "JPEGImages__2010_002618.jpg"]
    names = [*(f"voc_emotic_ava/{name}" for name in names), "blur_dataset/out_of_focus0027.JPG"]
    for number, name in enumerate(names):
        save(folder / "database" / name, number, "jpg")
    save(folder / "database/patches/AVA__149.jpg_patch_1.jpg", 50, "jpg")
    text(folder / "labels_image.csv", "name,mos,zscores", *(f"{name},{70 + n}.5,0.1" for n, name in enumerate(names)))
    text(folder / "labels640.csv", "mos_image,name_image,height_image", f"70.5,{names[0]},342")
    padded = [f"{names[1]},71.5,False", f"{names[2]},72.5,True", f"{names[4]},74.5,False"]
    text(folder / "labels=640_padded.csv", "name_image,mos_image,is_valid", *padded)


def bid(folder: Path) -> None:
    rows: list[Sequence[object]] = [["Image Number", "Average Subjective Grade", "std"]]
    for number in (1, 12, 586):
        save(folder / "ImageDatabase" / f"DatabaseImage{number:04d}.JPG", number, "jpg")
        rows.append([number, 4.25 - number / 200, 0.5])
    workbook(folder / "DatabaseGrades.xlsx", {"Plan1": rows, "Plan2": []})


def pipal(folder: Path) -> None:
    for number in (1, 60):
        save(folder / "Train_Ref" / f"A{number:04d}.bmp", number, "bmp")
        lines = []
        for kind, method in ((0, 0), (0, 11), (6, 26)):
            name = f"A{number:04d}_{kind:02d}_{method:02d}.bmp"
            archive = f"Distortion_{1 + number // 60}"
            save(folder / archive / archive / name, 1000 * number + 100 * kind + method, "bmp")
            lines.append(f"{name},{1500 - 100 * kind + method}.0648")
        text(folder / "Train_Label" / f"A{number:04d}.txt", *lines)
    save(folder / "NTIRE2022_FR_Val_Dis/A0000_10_00.bmp", 7, "bmp")


def koniq(folder: Path) -> None:
    rows = []
    for number, part in enumerate(("training", "validation", "test")):
        save(folder / "1024x768" / f"{number}.jpg", number, "jpg")
        rows.append(f"{number}.jpg,0,0,0.25,0.75,0,104,{60 + number}.25,0.44,{part}")
    text(folder / "koniq10k_distributions_sets.csv", "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set", *rows)


def biq(folder: Path) -> None:
    fixtures.biq(folder, {"ss01": [1, 50, 51], "ss02": [50]})


def biq_release(folder: Path) -> None:
    for part, names in {"Train": ("ss01 (101)", "ss03 (505)"), "Test": ("ss01 (632)",)}.items():
        rows = [f"{name}.jpg,0.{700 + number}" for number, name in enumerate(names)]
        text(folder / f"{part} (Images and MOS).csv", "Image Name,MOS", *rows)
        for name in names:  # as released: some of the files end in .JPG, the score file says .jpg
            save(folder / "Images" / f"{name}.{'jpg' if part == 'Train' else 'JPG'}", int(name[-4:-1]), "jpg")


LAYOUTS = {
    "bid": Layout(bid, 3, 0, "DatabaseImage0012.JPG", {"mos": 4.19, "group": "DatabaseImage0012.JPG"}),
    "biq2021": Layout(biq, 4, 0, "ss01 (51).jpg", {"group": "ss01:000051", "stratum": "ss01", "mos": 0.0051}),
    "biq2021_release": Layout(
        biq_release,
        3,
        0,
        "ss01 (632).jpg",
        {"mos": 0.7, "group": "ss01:000601", "stratum": "ss01", "official_split": "test"},
    ),
    "clive": Layout(
        clive, 5, 0, "333.bmp", {"mos": 93.5, "mos_std": 31.0, "path": "Images/333.bmp", "group": "246.bmp"}
    ),
    "csiq": Layout(
        csiq,
        24,
        2,
        "awgn/1600.awgn.5.png",
        {"mos": 0.625, "mos_std": 0.03125, "reference_id": "1600.png", "type": 1, "level": 5, "stratum": "01"},
    ),
    "flive": Layout(flive, 5, 0, "voc_emotic_ava/EMOTIC__5ge7.jpg", {"mos": 72.5, "official_split": "val"}),
    "kadid10k": Layout(
        fixtures.kadid, 30, 3, "I02_01_05.png", {"mos": 1.5, "mos_std": 0.5, "group": "I02.png", "type": 1, "level": 5}
    ),
    "koniq10k": Layout(koniq, 3, 0, "1.jpg", {"mos": 61.25, "mos_std": None, "official_split": "val"}),
    "live": Layout(
        live,
        785,
        2,
        "fastfading/img174.bmp",
        {"mos": 95.6, "mos_std": 7.5, "reference_id": "womanhat.bmp", "type": 5, "level": None},
    ),
    "pipal": Layout(
        pipal, 6, 2, "A0060_06_26.bmp", {"mos": 926.0648, "reference_id": "A0060.bmp", "type": 6, "level": None}
    ),
    "spaq": Layout(spaq, 3, 0, "00002.jpg", {"mos": 41.5, "short_side": 512}),
    "tid2013": Layout(
        fixtures.tid, 8, 2, "I02_24_5.bmp", {"mos": 1.0, "reference_id": "I02.bmp", "type": 24, "level": 5}
    ),
}
DIRECTIONS = {
    "bid": True,
    "biq2021": True,
    "biq2021_release": True,
    "clive": True,
    "csiq": False,
    "flive": True,
    "kadid10k": True,
    "koniq10k": True,
    "live": False,
    "photos": True,
    "pipal": True,
    "spaq": True,
    "tid2013": True,
    "tid2013_kodak": True,
}
