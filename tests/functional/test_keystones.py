"""The keystone that tests sign in to is a real one: what they rely on it for."""

import time

import pytest
from keystoneauth1.exceptions import NotFound, Unauthorized
from keystones import Keystone, User


def roles(keystone: Keystone, token: str) -> set[str]:
    """Ask, as the API's own user, what a token stands for."""
    session = keystone.session(keystone.service)
    shown = session.get(f"{keystone.url}/auth/tokens", headers={"X-Subject-Token": token})
    return {role["name"] for role in shown.json()["token"]["roles"]}


def test_the_service_user_learns_who_a_token_is_of(keystone: Keystone) -> None:
    for user in keystone.users:
        assert roles(keystone, keystone.token(user)) >= set(user.roles)


def test_a_wrong_password_does_not_sign_in(keystone: Keystone) -> None:
    with pytest.raises(Unauthorized):
        keystone.token(User("mary", "harbour", ("member",), "guessed"))


def test_a_token_that_is_revoked_or_over_stands_for_nobody(keystone: Keystone) -> None:
    token, brief = keystone.token(keystone.member), keystone.brief_token(keystone.member, lifetime_s=2)
    roles(keystone, brief)
    keystone.revoke(token)
    with pytest.raises(NotFound):
        roles(keystone, token)
    time.sleep(2)
    with pytest.raises(NotFound):
        roles(keystone, brief)


def test_the_catalog_has_the_newest_address(keystone: Keystone) -> None:
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        keystone.publish(url)
        assert keystone.session(keystone.reader).get_endpoint(service_type="pci") == url
