import pytest

from sdclient.schemas import ControlNet, Enlarge, HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img
from sdclient.schemas.docs import field_docs
from sdclient.schemas.server import ModelInfo, Progress

MODELS = (ControlNet, Enlarge, HiresFix, Img2Img, Lora, ModelInfo, Progress, Refiner, Tiled, Tiles, Txt2Img)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_documented_by_a_sentence(model) -> None:
    docs = field_docs(model)

    assert set(docs) == set(model.model_fields)
    assert all(text.endswith((".", "…")) for text in docs.values())


def test_a_field_that_another_class_defines_keeps_its_sentence() -> None:
    assert field_docs(Txt2Img)["steps"] == "Sampling steps, 1 to 150."
    assert "strength" in field_docs(HiresFix)
