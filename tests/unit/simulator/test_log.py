"""The log of exchanges."""

from __future__ import annotations

from sdclient.simulator.log import Exchange, ExchangeLog

LONG = "A" * 10_000


def exchange(path: str = "/x", method: str = "POST", body: object = None) -> Exchange:
    return Exchange(method, path, 200, body, 0.0, 1.0)  # type: ignore[arg-type]


def test_the_summary_counts_posts_by_path_and_status() -> None:
    log = ExchangeLog()
    for made in (exchange("/a"), exchange("/a"), exchange("/b"), exchange("/c", "GET")):
        log.append(made, 0)

    assert log.summary() == {"posts": {"/a": 2, "/b": 1}, "statuses": {"200": 3}}


def test_a_log_beyond_its_size_keeps_every_exchange_but_cuts_old_long_values() -> None:
    log = ExchangeLog(kept_bytes=15_000)
    for index in range(3):
        log.append(exchange(body={"n": index, "images": [LONG]}), len(LONG))

    first, second, last = log.exchanges()

    assert first.body == {"n": 0, "images": ["<10000 characters left out>"]}
    assert second.body == {"n": 1, "images": ["<10000 characters left out>"]}
    assert last.body == {"n": 2, "images": [LONG]}


def test_the_log_that_is_given_out_is_a_copy() -> None:
    log = ExchangeLog()

    log.exchanges().append(exchange())

    assert log.exchanges() == []
