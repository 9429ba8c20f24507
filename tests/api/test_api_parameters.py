"""Every parameter of the API reaches the wire, and a wrong one is named before anything is sent."""

from __future__ import annotations

import numpy as np
import pytest
from api_faces import GEMINI, SMALL

from openrouter_embed import ConfigurationError
from openrouter_embed.options.table import CALL_OPTIONS

QWEN = "qwen/qwen3-embedding-8b"


def only(em):
    """The body of the one request there was."""
    (request,) = em.requests
    return request.body


def encodings(em):
    return [request.body["encoding_format"] for request in em.requests]


# ------------------------------------------------------------------ fields of the body


def test_a_plain_call_sends_the_model_the_inputs_and_a_format_alone(make, em):
    make().embed(["a"])
    assert only(em) == {"model": SMALL, "input": ["a"], "encoding_format": "base64"}


@pytest.mark.parametrize("where", ["client", "call"])
def test_dimensions_go_out_and_come_back(make, em, where):
    options = {"dimensions": 256}
    client = make(**options if where == "client" else {})
    result = client.embed(["a"], **options if where == "call" else {})
    assert result.vectors.shape == (1, 256)
    assert only(em)["dimensions"] == 256


def test_an_answer_of_another_width_than_was_asked_for_is_refused(emulate, face):
    body = b'{"object":"list","data":[{"embedding":[1,2,3],"index":0}],"model":"m"}'
    em = emulate(faults=lambda *_: (200, {}, body))
    client = face.make(api_key="k", base_url=em.base_url, dimensions=4)
    with pytest.raises(Exception, match="3 components instead of 4"):
        client.embed(["a"])
    client.close()


@pytest.mark.parametrize(
    ("model", "expected"),
    [(SMALL, "base64"), (GEMINI, "float"), (QWEN, "float"), ("some/new-model", "float")],
)
def test_base64_is_asked_for_only_where_it_is_known_to_work(make, em, model, expected):
    client = make(model)
    if model == "some/new-model":
        with pytest.raises(Exception, match="does not exist"):
            client.embed(["a"])
    else:
        client.embed(["a"])
    assert encodings(em) == [expected]


@pytest.mark.parametrize("asked", ["float", "base64"])
def test_a_format_that_was_asked_for_is_sent(make, em, asked):
    make(QWEN, encoding_format=asked).embed(["a"])
    assert encodings(em) == [asked]


def test_both_formats_carry_the_same_vectors(make):
    client = make()
    rows = [client.embed(["a"], encoding_format=one).vectors for one in ("float", "base64")]
    assert np.array_equal(*rows)


def test_floats_are_taken_where_base64_was_asked_for(make):
    """Some hosts ignore the parameter."""
    assert make("baai/bge-m3", encoding_format="base64").embed(["a"]).vectors.shape == (1, 1024)


def test_a_host_that_fails_on_base64_costs_a_client_one_request(emulate, face):
    """The client remembers, for its later calls too."""

    def fail_on_base64(_, body):
        if body["encoding_format"] == "base64":
            error = b'{"error":{"message":"No successful provider responses.","code":404}}'
            return 200, {}, error
        return None

    em = emulate(faults=fail_on_base64)
    client = face.make(api_key="k", base_url=em.base_url)
    for _ in range(3):
        assert len(client.embed(["a"])) == 1
    client.close()
    assert encodings(em) == ["base64", "float", "float", "float"]


def test_a_user_goes_out(make, em):
    make(user="customer-7").embed(["a"])
    assert only(em)["user"] == "customer-7"


def test_an_input_type_goes_out_verbatim(make, em):
    make().embed(["a"], input_type="classification")
    assert only(em)["input_type"] == "classification"


def test_an_input_type_goes_out_verbatim_in_place_of_the_roles(make, em):
    make("voyageai/voyage-4").embed(["a"], role="query", input_type="clustering")
    assert only(em)["input_type"] == "clustering"


@pytest.mark.parametrize("where", ["client", "call"])
def test_fields_that_are_new_to_us_travel_in_extra_body(make, em, where):
    extra = {"newer": "s-1", "nested": {"a": [1, None]}}
    client = make(**{"extra_body": extra} if where == "client" else {})
    client.embed(["a"], **{"extra_body": extra} if where == "call" else {})
    body = only(em)
    assert body["newer"] == "s-1"
    assert body["nested"] == {"a": [1, None]}
    assert list(body)[:3] == ["model", "input", "encoding_format"]


@pytest.mark.parametrize(
    "field", ["input", "model", "encoding_format", "dimensions", "user", "provider", "input_type"]
)
def test_extra_body_may_not_set_what_has_an_option(make, field):
    with pytest.raises(ConfigurationError, match=f"`extra_body` holds '{field}': "):
        make(extra_body={field: "x"})


def test_extra_body_may_not_send_null(make):
    with pytest.raises(ConfigurationError, match="newer=None"):
        make(extra_body={"newer": None})


# ------------------------------------------------------------------ headers


def headers_of(make, em, **options):
    make(**options).embed(["a"])
    (request,) = em.requests
    return request.headers


def test_attribution_goes_out_in_headers(make, em):
    headers = headers_of(
        make, em, app_url="https://app.example", app_title="My App", app_categories=["rag", "cli"]
    )
    assert headers["http-referer"] == "https://app.example"
    assert headers["x-openrouter-title"] == "My App"
    assert headers["x-openrouter-categories"] == "rag,cli"


def test_attribution_may_come_from_the_environment(make, em, monkeypatch):
    monkeypatch.setenv("OPENROUTER_APP_URL", "https://env.example")
    monkeypatch.setenv("OPENROUTER_APP_TITLE", "From Env")
    headers = headers_of(make, em, app_title="From Argument")
    assert headers["http-referer"] == "https://env.example"
    assert headers["x-openrouter-title"] == "From Argument"


def test_without_attribution_nothing_is_said_of_the_application(make, em):
    headers = headers_of(make, em)
    assert not {"http-referer", "x-openrouter-title", "x-openrouter-categories"} & set(headers)
    assert headers["user-agent"].startswith("openrouter-embed/")
    assert headers["content-type"] == "application/json"


def test_response_cache_headers_travel_as_default_headers(make, em):
    headers = headers_of(
        make,
        em,
        default_headers={"X-OpenRouter-Cache": "true", "X-OpenRouter-Cache-TTL": "600"},
    )
    assert headers["x-openrouter-cache"] == "true"
    assert headers["x-openrouter-cache-ttl"] == "600"


def test_a_header_of_the_users_own_wins_over_ours(make, em):
    headers = headers_of(
        make, em, app_title="Ours", default_headers={"x-openrouter-title": "Theirs"}
    )
    assert headers["x-openrouter-title"] == "Theirs"


@pytest.mark.parametrize("name", ["Authorization", "host", "Content-Length", "Cookie"])
def test_headers_that_are_ours_to_send_are_refused(make, name):
    with pytest.raises(ConfigurationError, match=f"may not set `{name}`"):
        make(default_headers={name: "x"})


# ------------------------------------------------------------------ key and address


def test_the_key_is_sent_as_a_bearer_token(emulate, face):
    em = emulate(api_key="the-right-one")
    right = face.make(api_key=" the-right-one ", base_url=em.base_url)
    assert len(right.embed(["a"])) == 1
    wrong = face.make(api_key="another", base_url=em.base_url)
    with pytest.raises(Exception, match=r"the `api_key` argument.*\(401\)"):
        wrong.embed(["a"])
    right.close()
    wrong.close()


def test_the_key_and_the_address_may_come_from_the_environment(emulate, face, monkeypatch):
    em = emulate(api_key="from-env")
    monkeypatch.setenv("OPENROUTER_API_KEY", "from-env")
    monkeypatch.setenv("OPENROUTER_API_BASE", em.base_url)
    client = face.make()
    assert len(client.embed(["a"])) == 1
    client.close()


def test_a_key_may_be_called_for_anew_with_every_request(emulate, face):
    em = emulate(api_key="third")
    keys = iter(["first", "third"])
    client = face.make(api_key=lambda: next(keys), base_url=em.base_url)
    with pytest.raises(Exception, match="401"):
        client.embed(["a"])
    assert len(client.embed(["a"])) == 1
    client.close()


def test_without_a_key_a_client_is_not_made(face):
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        face.make()


@pytest.mark.parametrize("tail", ["", "/", "//"])
def test_a_base_url_may_end_in_slashes(make, em, tail):
    assert len(make(base_url=em.base_url + tail).embed(["a"])) == 1
    assert em.stats.requests == 1


WRONG_URLS = {
    "openrouter.ai/api/v1": "must be an http",
    "ftp://openrouter.ai": "must be an http",
    "https://": "must be an http",
    "https://openrouter.ai:99999": "must be an http",
    "https://openrouter.ai/api/v1/embeddings": "end before `/embeddings`",
    "https://user:secret@openrouter.ai": "may not carry credentials",
    "https://openrouter.ai/api/v1?x=1": "query or a fragment",
    "https://openrouter.ai/api/v1#x": "query or a fragment",
    "https://openrouter.ai/a b": "must be an http",
}


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_base_url_that_cannot_work_is_refused(make, url):
    with pytest.raises(ConfigurationError, match=WRONG_URLS[url]) as caught:
        make(base_url=url)
    assert "secret" not in str(caught.value)


def test_a_page_of_the_website_in_place_of_the_api_is_explained(make, em):
    with pytest.raises(Exception, match="404"):
        make(base_url=em.base_url + "/v1").embed(["a"])


# ------------------------------------------------------------------ checks of options

WRONG_VALUES = {
    "model": ["", "  ", 5],
    "dimensions": [0, -1, 2.5, "8", True],
    "encoding_format": ["hex", 5],
    "user": ["", 5],
    "timeout": [0, -1, "60", True, float("nan"), float("inf")],
    "deadline": [0, "soon"],
    "max_retries": [-1, 1.5],
    "max_concurrency": [0],
    "max_batch_inputs": [0],
    "max_batch_tokens": [0],
    "long_input": ["cut"],
    "empty": ["skip"],
    "normalize": ["yes", 1],
    "pin_provider": [1],
    "max_cost": [-1, "1", float("nan")],
    "provider": ["OpenAI", 5],
    "app_title": ["a\nb", "日本"],
    "app_categories": ["rag", [5]],
    "default_headers": ["x", {"a b": "c"}, {"a": "b\r\nc"}, {"a": 5}],
    "extra_body": ["x"],
    "limiter": [object()],
    "on_progress": ["print"],
    "api_key": ["", "two words", 5],
    "ca_bundle": ["/no/such/file"],
    "proxy": ["ftp://x", "a b"],
    "query_prefix": [5],
    "query_input_type": ["", 5],
}


@pytest.mark.parametrize(
    ("option", "value"), [(name, value) for name, many in WRONG_VALUES.items() for value in many]
)
def test_a_wrong_value_is_refused_with_the_name_of_its_option(face, option, value):
    options = {"model": SMALL, "api_key": "k", option: value}
    with pytest.raises(ConfigurationError, match=f"`{option}") as caught:
        face.make(**options)
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("dimension", "dimensions"), ("time_out", "timeout"), ("normalise", "normalize")],
)
def test_an_unknown_option_suggests_the_nearest(make, given, meant):
    with pytest.raises(ConfigurationError, match=f"Unknown option `{given}`.*`{meant}`"):
        make(**{given: 5})
    with pytest.raises(ConfigurationError, match=f"`{given}`.*`{meant}`"):
        make().embed(["a"], **{given: 5})


@pytest.mark.parametrize("option", ["api_key", "base_url", "max_cost", "default_headers"])
def test_options_of_connections_belong_to_the_client(make, em, option):
    with pytest.raises(ConfigurationError, match="pass it where the object is made"):
        make().embed(["a"], **{option: "x"})
    assert em.stats.requests == 0


@pytest.mark.parametrize("name", ["roles", "on_errors"])
def test_a_misspelt_option_of_a_call_leads_to_one_of_calls(make, name):
    with pytest.raises(ConfigurationError, match=f"Did you mean `{name[:-1]}`"):
        make().embed(["a"], **{name: "query"})


@pytest.mark.parametrize("path", ["", "/", "/v1", "/api"])
def test_openrouters_own_address_needs_its_path(make, path):
    with pytest.raises(ConfigurationError, match="needs OpenRouter's path"):
        make(base_url=f"https://openrouter.ai{path}")


def test_chat_s_path_is_no_base(make):
    with pytest.raises(ConfigurationError, match="must end before `/chat/completions`"):
        make(base_url="https://openrouter.ai/api/v1/chat/completions")


CALL_WRONG = [
    ({"role": "passage"}, "`role`"),
    ({"input_type": ""}, "`input_type`"),
    ({"on_error": "ignore"}, "`on_error`"),
    ({"dimensions": 0}, "`dimensions`"),
]


@pytest.mark.parametrize(("options", "message"), CALL_WRONG)
def test_a_wrong_option_of_a_call_is_refused_before_any_request(make, em, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make().embed(["a"], **options)
    assert em.stats.requests == 0


def test_an_option_of_one_call_does_not_outlive_it(make, em):
    client = make(user="always")
    client.embed(["a"], user="once", dimensions=8, model="openai/text-embedding-3-large")
    client.embed(["a"])
    first, second = (request.body for request in em.requests)
    assert (first["user"], first["dimensions"], first["model"][-5:]) == ("once", 8, "large")
    assert second == {**second, "user": "always", "model": SMALL}
    assert "dimensions" not in second


EVERY_CALL_OPTION = {
    "model": "qwen/qwen3-embedding-4b",
    "dimensions": 64,
    "encoding_format": "base64",
    "query_input_type": "question",
    "document_input_type": "answer",
    "query_prefix": "Q: ",
    "document_prefix": "A: ",
    "query_instruction": "Find it",
    "provider": {"only": ["DeepInfra"]},
    "user": "u",
    "session_id": "s",
    "trace": {"trace_id": "t"},
    "extra_body": {"newer": "n"},
    "timeout": 30.0,
    "deadline": 30.0,
    "max_retries": 0,
    "max_batch_inputs": 1,
    "max_batch_tokens": 30,
    "long_input": "split",
    "empty": "zeros",
    "normalize": True,
    "router_cache": 60,
    "pin_provider": True,
    "refresh": True,
    "cache_only": False,
    "telemetry": False,
    "on_progress": print,
}


def test_the_table_above_has_every_option_that_a_call_may_set():
    assert set(EVERY_CALL_OPTION) == CALL_OPTIONS


@pytest.mark.parametrize("option", EVERY_CALL_OPTION)
def test_an_option_means_the_same_to_a_client_and_to_a_call(make, em, option):
    value = EVERY_CALL_OPTION[option]
    texts = ["a", "b", ""] if option == "empty" else ["a", "b"]
    bodies, rows = [], []
    for for_client, for_call in (({option: value}, {}), ({}, {option: value})):
        em.reset()
        client = make(**{"model": QWEN, **for_client})
        found = [client.embed(texts, role=role, **for_call) for role in ("query", "document")]
        rows.append(np.concatenate([result.vectors for result in found]))
        bodies.append(sorted(str(request.body) for request in em.requests))
    assert bodies[0] == bodies[1]
    assert np.array_equal(*rows)
