"""Names of elsewhere lead to the names here."""

from __future__ import annotations

import pytest

from openrouter_embed import ConfigurationError, EmbeddingClient
from openrouter_embed.options.names import suggestion, unknown_name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("api_base", "Did you mean `base_url`?"),
        ("openai_api_key", "Did you mean `api_key`?"),
        ("chunk_size", "Did you mean `max_batch_inputs`?"),
        ("request_timeout", "Did you mean `timeout`?"),
        ("model_kwargs", "Did you mean `extra_body`?"),
        ("headers", "Did you mean `default_headers`?"),
        ("show_progress_bar", "progress=True"),
        ("task_type", "pass `input_type` to the call"),
        ("tiktoken_enabled", "Leave it out"),
        ("max_retry", "Did you mean `max_retries`?"),
    ],
)
def test_a_client_told_in_the_words_of_others_says_its_own(name, said):
    with pytest.raises(ConfigurationError) as caught:
        EmbeddingClient("m", api_key="k", **{name: 1})
    assert str(caught.value).startswith(f"Unknown option `{name}`. ")
    assert said in str(caught.value)


def test_a_name_is_suggested_only_where_it_would_be_accepted():
    assert suggestion("api_base", ["dimensions"]) == ""
    assert unknown_name("option", "api_base", ["dimensions"]) == "Unknown option `api_base`."
