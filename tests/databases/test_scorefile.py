"""Score files as released: workbooks, MATLAB files, files side by side; and those that are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.databases import IngestError
from pipeline.databases.manifest import Scores
from pipeline.databases.names import columns_of, filled
from pipeline.databases.scorefile import read_file, read_rows
from pipeline.databases.workbook import sheet_rows
from tests.databases.layouts import MAIN, matlab, text, workbook


def test_cells_of_a_workbook_are_what_they_store(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook(path, {"one": [["a & b", None, 1.5], [], [None, "x"]], "two": [[7]]})
    assert sheet_rows(path) == [["a & b", "", "1.5"], [], ["", "x"]]
    assert sheet_rows(path, "two") == [["7"]]


@pytest.mark.parametrize("name", ["SharedStrings.xml", "strings/of/mine.xml"])
def test_parts_are_found_by_their_relationships(tmp_path: Path, name: str) -> None:
    workbook(tmp_path / "a.xlsx", {"one": [["a & b", 2]]}, strings_part=name)
    assert sheet_rows(tmp_path / "a.xlsx") == [["a & b", "2"]]


def test_names_of_parts_do_not_count_case_or_slashes(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", {"one": [["a"]]})
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as other:
        for name in book.namelist():
            other.writestr(name.upper().replace("/", "\\"), book.read(name))
    assert sheet_rows(tmp_path / "b.xlsx") == [["a"]]


def parts(path: Path, **changed: str | None) -> None:
    """Write a workbook anew with other parts (sheet, strings, book), or without one."""
    workbook(path, {"one": [["a"]]})
    names = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml", "book": "xl/workbook.xml"}
    with zipfile.ZipFile(path) as book:
        content = {name: book.read(name) for name in book.namelist()}
    for part, text_of in changed.items():
        content.pop(names[part])
        if text_of is not None:
            content[names[part]] = text_of.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in content.items():
            book.writestr(name, data)


def sheet(cells: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData><row>{cells}</row></sheetData></worksheet>'


def test_other_ways_to_write_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    parts(path, sheet=sheet("<c t='inlineStr'><is><t>in</t></is></c><c><f>1+1</f><v>2</v></c><c r='AB1'><v>3</v></c>"))
    assert sheet_rows(path) == [["in", "2", *[""] * 25, "3"]]


BROKEN = {
    "no sheet": ({"sheet": None}, "not a readable .xlsx workbook"),
    "no link": (
        {"book": f'<workbook xmlns="{MAIN}"><sheets><sheet name="one"/></sheets></workbook>'},
        "not a readable",
    ),
    "no strings": ({"strings": None}, "no part xl/sharedstrings.xml"),
    "fewer strings": ({"strings": f'<sst xmlns="{MAIN}"/>'}, "refers to string 0 of 0"),
    "cut": ({"sheet": "<worksheet>"}, "not a readable .xlsx workbook"),
    "entities": ({"sheet": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}, "declares a document type"),
    "order": ({"sheet": sheet("<c r='B1'><v>1</v></c><c r='A1'><v>1</v></c>")}, "out of its row's order"),
    "far": ({"sheet": sheet("<c r='ZZZ1'><v>1</v></c>")}, "out of its row's order"),
    "bomb": ({"sheet": sheet(" " * (2**24 + 1))}, "unpacks to more than"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_workbooks_are_named(tmp_path: Path, fault: str) -> None:
    changed, message = BROKEN[fault]
    parts(tmp_path / "a.xlsx", **changed)
    with pytest.raises(IngestError) as refused:
        sheet_rows(tmp_path / "a.xlsx")
    assert message in str(refused.value) and "a.xlsx" in str(refused.value)


def test_what_is_no_workbook_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(IngestError, match="a.xlsx: not a readable .xlsx workbook"):
        sheet_rows(tmp_path / "a.xlsx")
    workbook(tmp_path / "a.xlsx", {"one": [["a"]]})
    with pytest.raises(IngestError, match="no sheet two; it has one"):
        sheet_rows(tmp_path / "a.xlsx", "two")
    with pytest.raises(IngestError, match="a.xlsx has no row with b"):
        read_file("mine", tmp_path, "a.xlsx", ["b"])
    workbook(tmp_path / "a.xlsx", {"one": [["b", "b"]]})
    with pytest.raises(IngestError, match="a.xlsx has two columns b"):
        read_file("mine", tmp_path, "a.xlsx", ["b"])


def test_vectors_of_a_matlab_file_become_columns(tmp_path: Path) -> None:
    matlab(tmp_path / "a.mat", names=["x.bmp", "y.bmp"], values=[1.0, 0.25], others=[1.0, 2.0, 3.0])
    rows = read_file("mine", tmp_path, "a.mat", ["names", "values"])
    assert rows == [{"names": "x.bmp", "values": "1"}, {"names": "y.bmp", "values": "0.25"}]


def test_matlab_files_that_are_refused(tmp_path: Path) -> None:
    import scipy.io

    path = tmp_path / "a.mat"
    table = {"a": np.zeros((2, 2)), "s": {"field": 1.0}, "v": np.zeros((1, 3)), "w": np.zeros((1, 2))}
    for variables, message in (
        (["b"], "a.mat has no variable b"),
        (["a"], r"a has the shape \(2, 2\), expected a vector"),
        (["s"], "s has neither numbers nor a string"),
        (["v", "w"], r"variables differ in length: v \(3\), w \(2\)"),
    ):
        scipy.io.savemat(path, table)
        with pytest.raises(IngestError, match=message):
            read_file("mine", tmp_path, "a.mat", variables)
    new = b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\x00\x02IM" + b"\x89HDF"
    for data, message in (
        (b"", r"a.mat is not a readable .mat file \(an empty file\)"),
        (b"<!DOCTYPE html>", r"\(a web page \(HTML\)\)"),
        (new, r"a.mat is of MATLAB 7.3 \(HDF5\): save it with `save -v7`"),
        (path.read_bytes()[:150], r"a.mat is not a readable .mat file \(it is damaged\)"),
    ):
        path.write_bytes(data)
        with pytest.raises(IngestError, match=message):
            read_file("mine", tmp_path, "a.mat", ["a"])
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(IngestError, match="has more than 1048576 bytes"):
        read_file("mine", tmp_path, "a.mat", ["a"])


def test_files_side_by_side_have_as_many_rows(tmp_path: Path) -> None:
    text(tmp_path / "a.txt", "1 x.png", "2 y.png")
    text(tmp_path / "std.txt", "0.5", "0.25")
    given = {"file": "a.txt", "delimiter": "whitespace", "columns": ["mos", "image"], "beside": {"std.txt": ["std"]}}
    scores = Scores.model_validate({**given, "image": "image", "mos": "mos", "mos_std": "std"})
    assert read_rows("mine", scores, tmp_path)[1] == {"mos": "2", "image": "y.png", "std": "0.25"}
    text(tmp_path / "std.txt", "0.5")
    with pytest.raises(IngestError, match=r"differ in rows: a.txt \(2\), std.txt \(1\)"):
        read_rows("mine", scores, tmp_path)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"image,mos\n\xff.png,1\n")
    with pytest.raises(IngestError, match="a.csv can't be read .it is not UTF-8"):
        read_file("mine", tmp_path, "a.csv")
    (tmp_path / "a.csv").write_bytes("image,mos\na.png,1\n".encode("utf-16"))
    with pytest.raises(IngestError, match="a.csv can't be read .it is a text file in UTF-16"):
        read_file("mine", tmp_path, "a.csv")
    (tmp_path / "a.csv").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    with pytest.raises(IngestError, match="it is an old Office document .*xls"):
        read_file("mine", tmp_path, "a.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.csv").write_bytes(f"image,mos{end}a.png,1{end}b.png,2{end}".encode())
    assert read_file("mine", tmp_path, "a.csv") == [{"image": "a.png", "mos": "1"}, {"image": "b.png", "mos": "2"}]


def test_an_open_quote_is_named(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "image,mos", '"a.png,1', *["b.png,2"] * 20000)
    with pytest.raises(IngestError, match="a.csv can't be read .a quote is opened"):
        read_file("mine", tmp_path, "a.csv")


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("path,score,group,score,,\n0.png,5,g,6,,\n")
    with pytest.raises(IngestError, match="scores.csv has two columns score"):
        read_file("mine", tmp_path, "scores.csv")


def test_a_pattern_over_columns() -> None:
    assert columns_of("Image{Image Number:4}.{end}") == ["Image Number", "end"]
    assert columns_of("image") == ["image"]
    assert filled("Image{Image Number:4}.{end}", {"Image Number": "7", "end": "JPG"}) == "Image0007.JPG"
    assert filled("image", {"image": "{x}.png"}) == "{x}.png"
