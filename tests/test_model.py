"""The words of the domain that do more than hold."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from aggregator.rows import pack, unpack_fingerprints


@given(st.frozensets(st.binary(min_size=12, max_size=12), max_size=40))
def test_packed_fingerprints_are_the_set_that_was_packed(known: frozenset[bytes]) -> None:
    """Packed and taken out again, also in another process, fingerprints are equal to the set that went in."""
    found = unpack_fingerprints(pack(known))
    assert found == known
    assert pickle.loads(pickle.dumps(found)) == known
    assert len(found) == len(known)
    assert all(one in found for one in known)
