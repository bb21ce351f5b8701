from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.errors import ConfigurationError
from sdclient.segment import Prompt, PromptPoint, read_prompts
from sdclient.segment.prompts import prompts_from_json

HEAD = Prompt((40, 52, 120, 90), (PromptPoint(60, 70, is_inside=False),), "head")
CUB = Prompt(None, (PromptPoint(300, 410),))


def test_a_csv_groups_rows_of_one_name_into_one_object(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text(
        "image,name,x,y,width,height,inside\n"
        "fox.png,head,40,52,120,90,\n"
        "fox.png,head,60,70,,,0\n"
        "den\\cub.png,,300,410,,,\n"
        "den/cub.png,,300,410,,,1\n"
    )

    assert read_prompts(path) == {"fox.png": (HEAD,), "den/cub.png": (CUB, CUB)}


def test_empty_cells_beyond_the_columns_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("image,x,y\nden/cub.png,300,410,, \n")

    assert read_prompts(path) == {"den/cub.png": (CUB,)}


def test_json_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(
        '\ufeff{"fox.png": [{"label": "head", "box_xywh": [40, 52, 120, 90], "points": [[60, 70, 0]]}],'
        ' "./den/cub.png": [{"points": [[300, 410]]}]}',
        encoding="utf-8",
    )

    assert read_prompts(path) == {"fox.png": (HEAD,), "den/cub.png": (CUB,)}


@pytest.mark.parametrize("prompt", [HEAD, CUB], ids=["box and point", "point"])
def test_a_prompt_comes_back_from_its_json(prompt: Prompt) -> None:
    assert prompts_from_json([prompt.to_json()], where="here") == (prompt,)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("p.csv", "a,b\n1,2\n", "must name columns", id="other columns"),
        pytest.param("p.csv", "image,x,y\n", "holds no prompts", id="no rows"),
        pytest.param("p.csv", "image,x,y\nfox.png,1,\n", "line 2", id="no number"),
        pytest.param("p.csv", "image,x,y\n,1,2\n", "not named", id="no image"),
        pytest.param(
            "p.csv", "image,x,y\na,1,2\nfox.png,-1,2\n", "line 3: fox.png: .*; write image,name", id="below zero"
        ),
        pytest.param("p.csv", "image,x,y\nfox.png,nan,2\n", "line 2: fox.png", id="not a number"),
        pytest.param("p.csv", "image,x,y,inside\nfox.png,1,2,0\n", "point inside", id="only outside"),
        pytest.param(
            "p.csv", "image,name,x,y,inside\nf,a,1,2,0\nf,a,3,4,0\n", "lines 2, 3: f: .*inside", id="two rows"
        ),
        pytest.param("p.csv", "image,name,x,y,width,height\nf,a,1,2,3,4\nf,a,1,2,3,4\n", "second box", id="two boxes"),
        pytest.param("p.csv", "image,x,y,width,height\nfox.png,1,2,0,3\n", "width and a height", id="flat box"),
        pytest.param("p.csv", "image,x,y\nfox.png,a,2\n", "line 2: x is 'a', not a number;", id="a letter"),
        pytest.param("p.csv", "image,x,y\nfox.png,1,\n", "line 2: y is missing;", id="no height"),
        pytest.param("p.csv", "image,x,y\na,1,2,,\nb,3,4,5,6\n", "line 3: '5' stands beyond the 3", id="more cells"),
        pytest.param("p.csv", f"image,x,y\n{'f' * 200_000},1,2\n", "line 2: no CSV", id="an endless cell"),
        pytest.param("p.json", "[1]", "images as keys", id="a list"),
        pytest.param("p.json", "{", "no JSON", id="cut off"),
        pytest.param("p.json", '{"fox.png": {}}', "a list is wanted", id="no list"),
        pytest.param("p.json", '{"fox.png": [7]}', "an object is wanted", id="a number"),
        pytest.param("p.json", '{"fox.png": [{"bbox": [1]}]}', "unknown key 'bbox'", id="unknown key"),
        pytest.param("p.json", '{"fox.png": [{"box_xywh": [1, 2, 3]}]}', "4 numbers", id="three numbers"),
        pytest.param("p.json", '{"fox.png": [{"points": [[1, true]]}]}', "2 numbers", id="true"),
        pytest.param(
            "p.json", f'{{"a": [{{"points": [[1, {"1" * 500}]]}}]}}', "a: .*far too large", id="endless number"
        ),
        pytest.param("p.json", '{"fox.png": [{"points": 3}]}', "a list is wanted", id="points"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_line_or_image(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=words) as caught:
        read_prompts(path)

    assert name in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"image\xff\xfe")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_prompts(tmp_path / "p.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_prompts(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("prompt", "fits"),
    [
        pytest.param(Prompt((10, 10, 70, 50)), True, id="up to the corner"),
        pytest.param(Prompt((10, 10, 71, 50)), False, id="past the right edge"),
        pytest.param(Prompt(None, (PromptPoint(79, 59),)), True, id="last pixel"),
        pytest.param(Prompt(None, (PromptPoint(79, 60),)), False, id="below the image"),
    ],
)
def test_a_prompt_knows_whether_it_lies_in_the_image(prompt: Prompt, *, fits: bool) -> None:
    assert prompt.fits((60, 80)) is fits
