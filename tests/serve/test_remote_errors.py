"""Errors that a service reports, on the command line's side."""

from __future__ import annotations

import pytest
from worldloom.errors import ServiceError, WorkerLost
from worldloom.serve.remote_errors import known_errors
from worldloom_client import Unreachable, WorldError


def test_a_known_code_is_the_exception_that_it_was() -> None:
    with pytest.raises(WorkerLost, match="gone") as caught, known_errors():
        raise WorldError("gone", hint="wait", code="worker_lost")
    assert caught.value.hint == "wait"


def test_unknown_codes_keep_their_message_and_name() -> None:
    with pytest.raises(ServiceError, match=r"odd.*from_the_future"), known_errors():
        raise WorldError("odd", code="from_the_future")


def test_no_answer_is_a_service_error() -> None:
    with pytest.raises(ServiceError, match=r"example\.org"), known_errors():
        raise Unreachable("http://example.org", "no route")
