"""The page to listen by: what it refers to, and that no text becomes markup."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from tunejury_jax.applications.listening_page import OPEN, Player, Section, write_page


class Found(HTMLParser):
    """Opened elements with their attributes, and the text."""

    def __init__(self, page: Path):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_players_refer_to_files_beside_the_page_and_load_nothing_ahead(tmp_path):
    clip = tmp_path / "clips" / "a b#1?%.wav"
    players = [Player("+0.3", "candidate 1", clip), Player("none", "no such file")]
    write_page(tmp_path / "page.html", "Best", [Section("0: calm", "words", players, tmp_path / "curve.png")])
    found = Found(tmp_path / "page.html")
    (audio,) = found.of("audio")
    assert (tmp_path / unquote(audio["src"])) == clip
    assert "#" not in audio["src"]
    assert "?" not in audio["src"]
    assert audio["preload"] == "none"
    assert found.of("img") == [{"alt": "0: calm", "src": "curve.png"}]
    assert {"+0.3", "candidate 1", "no such file", "words"} <= set(found.words)


def test_a_page_refers_to_files_elsewhere(tmp_path):
    (tmp_path / "out").mkdir()
    write_page(tmp_path / "out" / "page.html", "x", [Section("s", players=[Player("1", "", tmp_path / "a.wav")])])
    assert Found(tmp_path / "out" / "page.html").of("audio")[0]["src"] == "../a.wav"


def test_players_beyond_the_first_are_folded_away(tmp_path):
    players = [Player(str(number)) for number in range(OPEN + 3)]
    write_page(tmp_path / "page.html", "x", [Section("a", players=players), Section("b", players=players[:OPEN])])
    page = (tmp_path / "page.html").read_text()
    assert page.count("<details>") == 1
    assert "<summary>3 more</summary>" in page
    assert page.index(f"<b>{OPEN - 1}</b>") < page.index("<details>") < page.index(f"<b>{OPEN}</b>")


def test_text_never_becomes_markup(tmp_path):
    evil = '</title></style><script>alert(1)</script><img src=x onerror="alert(1)">'
    name = 'javascript:alert(1)"><script>x.wav'
    sections = [Section(evil, evil, [Player(evil, evil, tmp_path / name)], tmp_path / name)]
    write_page(tmp_path / "page.html", evil, sections)
    found = Found(tmp_path / "page.html")
    assert found.of("script") == []
    assert not any("onerror" in attributes for _, attributes in found.elements)
    assert [unquote(each["src"]) for each in found.of("audio")] == [name]
    assert ":" not in found.of("audio")[0]["src"]
    (policy,) = (each["content"] for each in found.of("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
