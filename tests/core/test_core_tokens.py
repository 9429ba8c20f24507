# ruff: noqa: RUF001 - samples in other scripts look like what they are
"""Estimates are fast, lean to the high side and stay near a real tokenizer."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import sysconfig

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.core.tokens import estimate_tokens, most_tokens
from openrouter_embed.emulator.tokens import count_tokens

MARGIN = 0.10
"""Share by which an estimate may fall short on a paragraph of the kinds below."""

SAMPLES = {
    "English prose": (
        "The old lighthouse keeper climbed the stairs every evening to light the lamp, though few "
        "ships passed this way any more. His daughter had moved to the city years ago, and her "
        "letters came less often each winter."
    ),
    "English business": (
        "Please find attached the quarterly report for Q3 2024. Revenue grew by 12.5% to $4.2 "
        "million, while operating costs fell slightly; see pages 3-7 for details. Let me know if "
        "you have any questions!"
    ),
    "Python": (
        'def quicksort(items: list[int]) -> list[int]:\n    """Sort a list."""\n'
        "    if len(items) <= 1:\n        return items\n    pivot = items[len(items) // 2]\n"
        "    left = [x for x in items if x < pivot]\n"
        "    return quicksort(left) + [pivot] * items.count(pivot)\n"
    ),
    "JavaScript": (
        "const debounce = (fn, ms = 300) => { let t; return (...args) => { clearTimeout(t); "
        "t = setTimeout(() => fn.apply(this, args), ms); }; };\nexport default debounce;\n"
    ),
    "C": (
        "#include <stdio.h>\nint main(int argc, char **argv) {\n\tfor (int i = 1; i < argc; ++i) "
        '{\n\t\tprintf("%d: %s\\n", i, argv[i]);\n\t}\n\treturn 0;\n}\n'
    ),
    "SQL": (
        "SELECT c.name, COUNT(o.id) AS orders, SUM(o.total) FROM customers c LEFT JOIN orders o "
        "ON o.customer_id = c.id WHERE c.created_at >= '2023-01-01' GROUP BY c.name HAVING "
        "COUNT(o.id) > 5 ORDER BY 3 DESC LIMIT 20;"
    ),
    "JSON": (
        '{"name": "Ada Lovelace", "tags": ["math", "computing"], "scores": [91.5, 88.25, 100], '
        '"active": true, "address": {"street": "12 St James\'s Square", "zip": "SW1Y 4JH"}}'
    ),
    "Markdown": (
        "# Installation\n\n1. Clone the repository: `git clone https://github.com/acme/w.git`\n"
        "2. Run `pip install -e .[dev]`\n3. Copy `.env.example` to `.env`\n\n"
        "| Option | Default | Meaning |\n|---|---|---|\n| `--port` | 8080 | where to listen |\n"
    ),
    "simplified Chinese": (
        "机器学习是人工智能的一个分支，它使用统计方法让计算机系统能够从数据中学习，而无需明确编程。"
        "近年来，深度学习在图像识别、自然语言处理和语音识别等领域取得了突破性进展。"
    ),
    "traditional Chinese": (
        "臺灣位於亞洲東部，四面環海，地形以山地與丘陵為主。每年夏天常有颱風侵襲，"
        "居民早已習慣提前準備飲水與糧食，並密切注意氣象報告。"
    ),
    "Japanese": (
        "毎朝六時に起きて、近くの公園を散歩するのが祖父の日課でした。"
        "データベースの検索エンジンを開発しながら、時々その静かな道を思い出します。"
    ),
    "Korean": (
        "대한민국의 수도는 서울이며, 한강이 도시의 중심을 가로질러 흐른다. 이 도시는 오랜 역사와 "
        "현대적인 고층 건물이 함께 어우러져 있어 많은 관광객이 찾는다."
    ),
    "Arabic": (
        "تعد مكتبة الإسكندرية القديمة من أشهر المكتبات في التاريخ، وقد جمعت آلاف المخطوطات في "
        "مختلف العلوم والفنون. واليوم تستقبل المكتبة الجديدة ملايين الزوار كل عام."
    ),
    "Hindi": (
        "भारत एक विशाल देश है जहाँ अनेक भाषाएँ बोली जाती हैं। यहाँ के लोग विभिन्न त्योहार "
        "मिलजुलकर मनाते हैं और अपनी संस्कृति पर गर्व करते हैं।"
    ),
    "Russian": (
        "Через город протекает широкая река, на берегах которой расположены парки и исторические "
        "здания. Весной здесь собираются музыканты со всей страны."
    ),
    "chat with emoji": (
        "Great job team 🎉🎉🎉 we shipped it 🚀🔥 see you at the party 🥳🍕🍻 don’t forget "
        "sunscreen 🌞🏖️ love you all ❤️❤️ 👍🏽👏🏻"
    ),
    "emoji": "😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘😗☺️😚😙👨‍👩‍👧‍👦🏳️‍🌈",
}
"""Written for this test."""


@pytest.fixture(scope="module")
def tokenizer():
    """The real tokenizer, whose vocabulary comes inside another package's wheel."""
    pytest.importorskip("tiktoken")
    found = importlib.util.find_spec("llama_index.core")
    if found is None or found.origin is None:
        pytest.skip("no tokenizer vocabulary on this machine")
    with pytest.MonkeyPatch.context() as patch:
        cache = pathlib.Path(found.origin).parent / "_static" / "tiktoken_cache"
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        import tiktoken

        return tiktoken.get_encoding("cl100k_base")


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_paragraph_is_not_underestimated_by_more_than_the_margin(kind, tokenizer):
    real = len(tokenizer.encode(SAMPLES[kind]))
    assert estimate_tokens(SAMPLES[kind]) >= (1 - MARGIN) * real


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_paragraph_is_not_overestimated_beyond_use(kind, tokenizer):
    real = len(tokenizer.encode(SAMPLES[kind]))
    assert estimate_tokens(SAMPLES[kind]) <= 1.6 * real


def docstrings():
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for file in sorted(library.glob("[a-j]*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = (node for node in ast.walk(tree) if isinstance(node, documented))
        yield from filter(None, map(ast.get_docstring, nodes))


def test_english_documentation_is_within_15_percent_of_the_emulator_s_count():
    texts = list(docstrings())
    assert len(texts) > 1000
    counted = sum(map(count_tokens, texts))
    assert sum(map(estimate_tokens, texts)) == pytest.approx(counted, rel=0.15)


@given(st.text(max_size=200))
def test_every_text_has_a_token_and_none_more_than_three_per_character(text):
    assert 1 <= estimate_tokens(text) <= 1 + 3 * len(text)


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_longer_text_is_never_estimated_lower(text, more):
    assert estimate_tokens(text + more) >= estimate_tokens(text)


def test_a_lone_surrogate_is_estimated_like_any_character():
    assert estimate_tokens("\ud800") == 1


@given(st.lists(st.text(), max_size=20))
def test_no_texts_are_estimated_at_more_than_most_tokens_says(texts):
    """Packing trusts it: what is certainly small enough is not estimated."""
    assert sum(map(estimate_tokens, texts)) <= most_tokens(texts)


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=127)), max_size=20))
def test_plain_texts_are_not_taken_for_emoji(texts):
    assert most_tokens(texts) <= sum(map(len, texts)) + len(texts)
