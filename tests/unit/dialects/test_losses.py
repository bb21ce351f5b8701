import pytest

from sdclient.dialects import (
    DIALECTS,
    LOSS_COLUMNS,
    Loss,
    ServerFacts,
    is_refused,
    loss_rows,
    refuse,
    sort_losses,
)
from sdclient.dialects.base import LossKind
from sdclient.dialects.losses import is_lost
from sdclient.errors import LossError
from sdclient.schemas import Txt2Img

NOTE = Loss("a", "dropped", "note", "hardly matters")
WARNING = Loss("b", "approximated", "warning", "matters")
ERROR = Loss("c", "refused", "error", "cannot be")
OTHER = Loss("d", "inherited", "error", "is not known")


def test_losses_are_sorted_worst_first_and_told_once() -> None:
    assert sort_losses([NOTE, ERROR, WARNING, OTHER, NOTE]) == (ERROR, OTHER, WARNING, NOTE)


def test_losses_are_rows_by_their_columns() -> None:
    assert loss_rows([NOTE, ERROR]) == [
        ("c", "refused", "error", "cannot be"),
        ("a", "dropped", "note", "hardly matters"),
    ]
    assert LOSS_COLUMNS == ("field", "kind", "severity", "message")


def test_every_error_is_in_the_refusal() -> None:
    with pytest.raises(LossError) as caught:
        refuse([NOTE, ERROR, WARNING, OTHER], where="http://mini:7860")

    assert str(caught.value).splitlines() == [
        "http://mini:7860 cannot do what is asked; nothing was sent:",
        "  c: cannot be",
        "  d: is not known",
    ]


def test_warnings_and_notes_refuse_only_where_strict() -> None:
    refuse([NOTE, WARNING])
    assert not is_refused([NOTE, WARNING])
    assert is_refused([NOTE], strict=True)
    with pytest.raises(LossError, match="a: hardly matters"):
        refuse([NOTE], strict=True)


@pytest.mark.parametrize(
    ("field", "kind", "is_left_out"),
    [
        ("controls", "dropped", True),
        ("controls[0]", "refused", True),
        ("controls[0].model", "dropped", True),
        ("controls[0]", "approximated", False),
        ("controls[0].module", "dropped", False),
        ("control", "dropped", False),
    ],
)
def test_a_field_is_left_out_with_the_part_it_belongs_to(field: str, kind: LossKind, *, is_left_out: bool) -> None:
    assert is_lost("controls[0].model", [Loss(field, kind, "warning", "x")]) is is_left_out


@pytest.mark.parametrize("name", list(DIALECTS))
def test_what_is_switched_off_is_done_as_asked_where_it_cannot_be_switched_on(name: str) -> None:
    request = Txt2Img(prompt="x", model="m", seed=1, restore_faces=False, tiling=False)

    losses = DIALECTS[name].compile(request, ServerFacts(name)).losses

    assert {loss.field for loss in losses} <= {"model"}
