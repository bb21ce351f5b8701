"""Base64: only what an encoder would write is taken."""

from __future__ import annotations

import pytest

from sdclient.errors import CodecError
from sdclient.images import (
    decode_base64,
    encode_base64,
)


class TestBase64:
    def test_decoding_undoes_encoding(self) -> None:
        assert decode_base64(encode_base64(b"\0\xff fox")) == b"\0\xff fox"

    @pytest.mark.parametrize("prefix", ["data:image/png;base64,", "data:;base64,", "DATA:image/webp;name=x;BASE64,"])
    def test_a_data_url_is_taken(self, prefix: str) -> None:
        assert decode_base64(prefix + "Zm94") == b"fox"

    @pytest.mark.parametrize(
        "text",
        [
            "", "data:image/png;base64,", "data:image/png,Zm94", "Zm9", "Zm94Zg", "Zm94Zg=", "Zm94Z===", "====", "Zg==Zm94",
            "Zm\n94", "Zm94\n", " Zm94", "Zm9*", "Zm-_", "Zm9ö", "Zh==", "Zm9=Zm9=", "Zm5=", "=Zm9", "A=AA", "\ud800AAA",
        ],
    )  # fmt: skip
    def test_anything_an_encoder_would_not_write_is_refused(self, text: str) -> None:
        with pytest.raises(CodecError, match="image 2 of the reply"):
            decode_base64(text, what="image 2 of the reply")

    def test_a_message_never_holds_the_whole_text(self) -> None:
        with pytest.raises(CodecError, match="at character 8000") as caught:
            decode_base64("A" * 8000 + "!" + "A" * 8003)

        assert len(str(caught.value)) < 200
