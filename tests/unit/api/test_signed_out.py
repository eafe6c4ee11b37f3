"""What is remembered of tokens that were signed out."""

from pci_agent.api.signedout import SignedOut


def test_a_token_is_remembered_until_its_time_is_over() -> None:
    now = [0.0]
    signed_out = SignedOut(clock=lambda: now[0])
    signed_out.add("token", 1000)
    signed_out.add("token", 10)
    assert "token" in signed_out
    assert "another" not in signed_out
    now[0] = 10
    assert "token" not in signed_out


def test_where_there_are_too_many_what_is_over_goes_first_and_then_the_oldest() -> None:
    now = [0.0]
    signed_out = SignedOut(most=3, clock=lambda: now[0])
    for token, for_s in (("a", 100), ("b", 1), ("c", 100)):
        signed_out.add(token, for_s)
    now[0] = 2
    signed_out.add("d", 100)
    assert [each in signed_out for each in "abcd"] == [True, False, True, True]
    signed_out.add("e", 100)
    assert [each in signed_out for each in "abcde"] == [False, False, True, True, True]
    assert "token" not in repr(vars(signed_out))
