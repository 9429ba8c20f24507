"""Audio, video and files: read from where they are named, of their kind, and small enough."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest

from openrouter_embed import AudioInput, ConfigurationError, FileInput, ImageInput, VideoInput
from openrouter_embed import media as module
from openrouter_embed.inputs import read_inputs

WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP3 = b"ID3\x04\0\0\0\0\0\x21"
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0"
PDF = b"%PDF-1.7\n%"
PNG = b"\x89PNG\r\n\x1a\n1234"
KINDS = {"audio": AudioInput, "video": VideoInput, "file": FileInput}
BYTES = {"audio": (WAV, "wav"), "video": (MP4, "mp4"), "file": (PDF, "pdf")}

every_kind = pytest.mark.parametrize("kind", KINDS)


def encoded(data):
    return base64.b64encode(data).decode()


@every_kind
def test_bytes_go_out_in_base64_with_the_format_that_they_tell(kind):
    data, form = BYTES[kind]
    part = KINDS[kind].from_bytes(data).to_part()
    assert part == {
        "type": f"input_{kind}",
        f"input_{kind}": {"data": encoded(data), "format": form},
    }


@every_kind
def test_a_file_is_read_and_its_name_tells_the_format_that_bytes_do_not(kind, tmp_path):
    data, form = BYTES[kind]
    (tmp_path / f"a.{form.upper()}").write_bytes(data)
    one = KINDS[kind].from_path(tmp_path / f"a.{form.upper()}")
    assert (one.data, one.format) == (encoded(data), form)
    (tmp_path / "b.odd").write_bytes(b"\1\2\3\4")
    assert KINDS[kind].from_path(str(tmp_path / "b.odd")).format == "odd"


@every_kind
def test_a_url_goes_out_as_it_is(kind):
    form = BYTES[kind][1]
    url = f"https://example.org/a.{form}?x=1"
    told = KINDS[kind].from_url(url).to_part()[f"input_{kind}"]
    assert told == {"data": url, "format": form}
    assert KINDS[kind].from_url("https://example.org/a").to_part()[f"input_{kind}"] == {
        "data": "https://example.org/a"
    }


def test_a_data_url_is_read_as_its_bytes_are():
    one = AudioInput.from_url(f"data:audio/wav;base64,{encoded(WAV)}")
    assert one == AudioInput.from_bytes(WAV)
    assert FileInput.from_url(f"data:application/pdf;base64,{encoded(PDF)}").format == "pdf"


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (MP3, "mp3"), (b"\xff\xfb\x90\0", "mp3"), (b"\xff\xf1\x50\x80", "aac"), (b"fLaC\0", "flac"),
        (b"OggS\0", "ogg"), (b"\0\0\0\x20ftypM4A \0", "m4a"), (b"FORM\0\0\0\0AIFF", "aiff"),
    ],
)  # fmt: skip
def test_formats_of_sound_are_known_by_their_first_bytes(data, form):
    assert AudioInput.from_bytes(data).format == form


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"\0\0\0\x14ftypqt  \0", "mov"), (b"\x1aE\xdf\xa3\0", "webm"), (b"FLV\x01", "flv"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"), (b"\0\0\1\xba", "mpeg"),
    ],
)  # fmt: skip
def test_formats_of_films_are_known_by_their_first_bytes(data, form):
    assert VideoInput.from_bytes(data).format == form


def test_a_format_that_is_given_counts_and_has_one_name():
    assert AudioInput.from_bytes(b"\1\2\3", "MPGA").format == "mp3"
    assert AudioInput.from_bytes(b"\1\2\3", ".opus").format == "opus"


WRONG = [
    (AudioInput.from_bytes, (PNG,), "an image: it is no audio"),
    (AudioInput.from_bytes, (PDF, "mp3"), "PDF: it is no audio"),
    (VideoInput.from_bytes, (MP3,), "MP3: it is no video"),
    (FileInput.from_bytes, (WAV,), "WAV: it is no file"),
    (AudioInput.from_bytes, (b"\1\2\3",), "no format known here.*'mp3'"),
    (AudioInput.from_bytes, (b"",), "no bytes"),
    (AudioInput.from_bytes, ("text",), "cannot be a str"),
    (AudioInput.from_bytes, (b"\1\2\3", "pdf"), "'pdf' is no audio's"),
    (VideoInput.from_bytes, (b"\1\2\3", "jpeg"), "'jpeg' is no video's"),
    (AudioInput.from_bytes, (b"\1\2\3", "a b"), "short name"),
    (AudioInput.from_url, ("http://example.org/a.mp3",), "https"),
    (AudioInput.from_url, ("https://example.org/a b",), "without spaces"),
    (AudioInput.from_url, (3,), "string"),
    (AudioInput.from_url, ("https://example.org/a.png",), "'png' is no audio's"),
    (AudioInput.from_url, ("data:video/mp4;base64,AAAA",), "holds video"),
    (AudioInput.from_url, ("data:audio/wav;base64,?!",), "not base64"),
    (AudioInput.from_url, ("data:audio/wav,abc",), "data URL in base64"),
    (AudioInput.from_path, ("/no/such/file.mp3",), "`/no/such/file.mp3` cannot be read: No such"),
    (AudioInput.from_path, ("a\0b",), "cannot be read"),
    (AudioInput, ("",), "`from_path`, `from_bytes` or `from_url`"),
    (module.MediaInput, ("AAAA",), "is made by"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), WRONG)
def test_what_is_no_such_medium_is_refused(make, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        make(*arguments)


def test_a_text_taken_for_a_path_is_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        AudioInput.from_path("my secret thought about nothing")
    assert "secret" not in str(caught.value)


@every_kind
def test_what_is_too_large_is_refused_before_it_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEDIA_BYTES", 2**20)
    data, form = BYTES[kind]
    large = data + bytes(2**20)
    (tmp_path / f"a.{form}").write_bytes(large)
    family = {"file": "application"}.get(kind, kind)
    for make, value in (
        (KINDS[kind].from_bytes, large),
        (KINDS[kind].from_path, tmp_path / f"a.{form}"),
        (KINDS[kind].from_url, f"data:{family}/{form};base64,{encoded(large)}"),
    ):
        with pytest.raises(ConfigurationError, match=rf"The {kind} has 1 MiB; at most 1"):
            make(value)


@every_kind
def test_a_medium_shows_no_content_and_survives_copying(kind):
    one = KINDS[kind].from_bytes(BYTES[kind][0])
    assert one.data not in repr(one)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one
        assert hash(other) == hash(one)


@every_kind
def test_media_are_inputs_alone_and_in_joint_ones(kind):
    one = KINDS[kind].from_bytes(BYTES[kind][0])
    alone, listed, joint = read_inputs(one)[0], *read_inputs([one, ["a text", one]])
    assert alone == listed
    assert alone.kind == joint.kind == "content"
    assert joint.value.count(f'"input_{kind}":'.encode()) == 1
    assert b'"a text"' in joint.value


def test_sound_in_the_container_of_webp_is_no_image():
    with pytest.raises(ConfigurationError, match="no PNG"):
        ImageInput.from_bytes(WAV)
