"""What servers say about themselves. Constructed after SGLang 0.5.16's routes."""

from __future__ import annotations

import json
from typing import Any

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts, read_facts
from tests.endpoint.server import fixed, serving

MODELS = {
    "object": "list",
    "data": [
        {"id": "google/gemma-4-E2B-it", "object": "model", "max_model_len": 131072},
        {"id": "my-adapter", "object": "model", "max_model_len": None},
    ],
}
MODEL_INFO = {
    "model_path": "google/gemma-4-E2B-it",
    "has_image_understanding": True,
    "has_audio_understanding": True,
    "architectures": ["Gemma4ForConditionalGeneration"],
}
SERVER_INFO = {
    "version": "0.5.16",
    "load_format": "dummy",
    "api_key": "hunter22",
    "admin_api_key": None,
    "speculative_algorithm": "FROZEN_KV_MTP",
    "max_total_num_tokens": 3337548,
    "internal_states": [{"api_key": "hunter22", "avg_spec_accept_length": 3.25}],
}


def facts_of(**documents: Any) -> Facts:
    paths = {"models": "/v1/models", "model_info": "/model_info", "server_info": "/server_info"}
    answers = {paths[k]: fixed(json.dumps(v).encode()) for k, v in documents.items()}
    with serving(answers) as url:
        return read_facts(Endpoint(url), 2)


def test_everything_that_sglang_says() -> None:
    facts = facts_of(models=MODELS, model_info=MODEL_INFO, server_info=SERVER_INFO)
    assert facts.problems == ()
    assert facts.model_ids == ("google/gemma-4-E2B-it", "my-adapter")
    assert facts.variant == "E2B"
    assert facts.architecture == "Gemma4ForConditionalGeneration"
    assert facts.release == "0.5.16"
    assert (facts.max_tokens, facts.context_length) == (3337548, 131072)
    assert facts.has_images and facts.has_audio
    assert facts.random_weights is True
    assert facts.drafts is True
    assert facts.accept_length == 3.25


def test_no_secret_is_kept() -> None:
    facts = facts_of(server_info=SERVER_INFO)
    assert "hunter22" not in repr(facts)
    assert facts.argument("api_key") == "***"
    assert facts.argument("admin_api_key") is None


def test_a_server_of_another_kind_is_known_by_its_models() -> None:
    facts = facts_of(models=MODELS)
    assert facts.variant == "E2B"
    assert facts.release is facts.max_tokens is facts.server_args is facts.has_audio is None
    assert facts.random_weights is None
    assert facts.drafts is False
    assert facts.problems == ("/model_info: HTTP 404", "/server_info: HTTP 404")


def test_answers_of_another_shape_are_said() -> None:
    facts = facts_of(models=[1], model_info={"architectures": 3, "model_path": ["x"]})
    assert facts.model_ids == ()
    assert facts.problems[0] == "/v1/models: the answer is no JSON object"
    with serving({"/v1/models": fixed(b"[" * 100_000)}) as url:
        assert read_facts(Endpoint(url), 2).problems[0].endswith("no JSON object")


def test_the_variant_of_a_folder_is_read_from_it_or_from_its_name(tmp_path: Any) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["Gemma4ForConditionalGeneration"],
                "text_config": {"hidden_size": 5376, "num_hidden_layers": 60},
            }
        )
    )
    assert facts_of(model_info={"model_path": str(folder)}).variant == "31B"
    assert facts_of(model_info={"model_path": "/elsewhere/gemma-4-E4B-it"}).variant == "E4B"
    empty = tmp_path / "E2B-it"
    empty.mkdir()
    assert facts_of(model_info={"model_path": str(empty)}).variant is None


def test_an_architecture_of_one_variant_names_it() -> None:
    unified = {"architectures": ["Gemma4UnifiedForConditionalGeneration"], "model_path": "/x/y"}
    shared = unified | {"architectures": ["Gemma4ForConditionalGeneration"]}
    assert facts_of(model_info=unified).variant == "12B"
    assert facts_of(model_info=shared).variant is None


def test_a_short_name_is_enough_where_the_architecture_says_gemma_4() -> None:
    known = {"architectures": ["Gemma4ForConditionalGeneration"], "model_path": "/models/E2B-it"}
    assert facts_of(model_info=known).variant == "E2B"
    other = known | {"architectures": ["Gemma3nForConditionalGeneration"]}
    assert facts_of(model_info=other).variant is None
