"""LangChain's own suites, as every partner package runs them."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_openrouter_embed import OpenRouterEmbeddings


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return OpenRouterEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "openai/text-embedding-3-small", "api_key": "sk-test"}

    @property
    def init_from_env_params(self):
        environment = {
            "OPENROUTER_API_KEY": "sk-environment",
            "OPENROUTER_API_BASE": "https://gateway.example/api/v1",
            "OPENROUTER_APP_URL": "https://app.example",
            "OPENROUTER_APP_TITLE": "App",
        }
        expected = {
            "openrouter_api_key": "sk-environment",
            "openrouter_api_base": "https://gateway.example/api/v1",
            "app_url": "https://app.example",
            "app_title": "App",
        }
        return environment, {"model": "openai/text-embedding-3-small"}, expected


class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulated(self, emulator, monkeypatch):
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)

    @pytest.fixture
    def model(self, adopt):
        return adopt(self.embeddings_class(**self.embedding_model_params))

    @property
    def embeddings_class(self):
        return OpenRouterEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "openai/text-embedding-3-small", "api_key": "sk-test"}
