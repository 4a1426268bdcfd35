"""Key files: private or refused, nothing trusted silently."""

import os
import stat

import pytest

from worker import keys_command
from worker.keys import ALLOWED, OWN, TRUSTED, KeyFault, KeyPair, Keyring, fingerprint, parse_key

OTHER, ANOTHER = (KeyPair.generate().public for _ in range(2))


@pytest.fixture
def ring(tmp_path) -> Keyring:
    return Keyring(tmp_path / "keys")


def test_a_new_key_is_readable_by_its_owner_alone_and_never_overwritten(ring):
    own = ring.new()
    assert stat.S_IMODE((ring.folder / OWN).stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700
    with pytest.raises(KeyFault, match="holds a key already"):
        ring.new()
    assert ring.own() == own


@pytest.mark.parametrize("file", [OWN, ALLOWED, TRUSTED])
def test_a_key_file_that_others_can_read_is_refused(ring, file):
    ring.new()
    ring.allow("laptop", OTHER)
    ring.trust("host:5600", OTHER)
    os.chmod(ring.folder / file, 0o640)
    with pytest.raises(KeyFault, match=r"mode 600, it has 640; chmod 600"):
        {OWN: ring.own, ALLOWED: ring.allowed, TRUSTED: ring.trusted}[file]()


def test_a_damaged_key_file_is_refused_with_a_sentence(ring):
    ring.new()
    (ring.folder / OWN).write_bytes(b'{"public": "x"')
    with pytest.raises(KeyFault, match="damaged"):
        ring.own()


def test_a_worker_whose_key_changes_is_not_trusted_until_a_person_says_so(ring):
    ring.trust("host:5600", OTHER)
    with pytest.raises(KeyFault, match=fingerprint(OTHER)) as refused:
        ring.trust("host:5600", ANOTHER)
    assert fingerprint(ANOTHER) in str(refused.value)
    assert ring.trusted() == {"host:5600": OTHER}
    ring.trust("host:5600", ANOTHER, replace=True)
    assert ring.trusted() == {"host:5600": ANOTHER}


def test_a_name_stands_for_one_key_until_it_is_forgotten(ring):
    ring.allow("laptop", OTHER)
    with pytest.raises(KeyFault, match="keys forget laptop"):
        ring.allow("laptop", ANOTHER)
    ring.forget("laptop")
    ring.allow("laptop", ANOTHER)
    assert ring.allowed() == {"laptop": ANOTHER}


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 63])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(KeyFault, match="64 hexadecimal digits"):
        parse_key(text)


def test_the_secret_never_shows(ring):
    own = ring.new()
    shown = [repr(own), keys_command.run(["--keys", str(ring.folder), "list"])]
    assert not any(own.secret in text for text in shown)
    assert own.public in shown[1] and fingerprint(own.public) in shown[1]


def test_the_verb_allows_trusts_and_forgets(ring):
    def keys(*arguments: str) -> str:
        return keys_command.run(["--keys", str(ring.folder), *arguments])

    assert ring.folder.name in keys("new")
    assert fingerprint(OTHER) in keys("allow", "laptop", OTHER)
    assert fingerprint(ANOTHER) in keys("trust", "host:5600", ANOTHER)
    assert "laptop" in keys("list") and "host:5600" in keys("list")
    keys("forget", "host:5600")
    assert ring.trusted() == {}
    with pytest.raises(KeyFault, match="Nobody is called"):
        keys("forget", "host:5600")
