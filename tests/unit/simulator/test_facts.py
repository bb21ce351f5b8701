"""Reading the fact tables."""

from __future__ import annotations

import pytest

from sdclient.simulator.facts import a1111_fields, array_at, drawthings_fields, load, object_at


def test_the_invented_install_only_sets_parameters_that_exist() -> None:
    window = object_at(load("simulator"), "drawthings", "window")

    assert set(window) <= {field.name for field in drawthings_fields()}


def test_the_two_requests_of_a1111_have_different_defaults_for_denoising_strength() -> None:
    defaults = {
        request: {field.name: field.default for field in a1111_fields(request)}["denoising_strength"]
        for request in ("txt2img_request", "img2img_request")
    }

    assert defaults == {"txt2img_request": None, "img2img_request": 0.75}


@pytest.mark.parametrize("request_name", ["txt2img_request", "img2img_request"])
def test_no_field_of_a_request_is_listed_twice(request_name: str) -> None:
    names = [field.name for field in a1111_fields(request_name)]

    assert len(names) == len(set(names))


def test_a_route_without_a_body_table_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        a1111_fields("/sdapi/v1/nowhere")


def test_a_path_that_leads_elsewhere_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        object_at(load("a1111"), "subject")
    with pytest.raises(TypeError):
        array_at(load("a1111"), "server")
    with pytest.raises(TypeError):
        object_at(load("a1111"), "subject", "below")
