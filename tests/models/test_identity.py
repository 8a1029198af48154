"""Who a connection is."""

import pytest

from models.identity import Identity, Role


def test_the_same_user_in_another_role_is_somebody_else() -> None:
    assert Identity("u", Role.RIDER, 1).key != Identity("u", Role.DRIVER, 1).key


def test_no_two_users_have_the_same_key() -> None:
    ids = ["u", "rider:u", ":u", "driver:u", "u:"]
    keys = {Identity(user, role, 1).key for user in ids for role in Role}
    assert len(keys) == len(ids) * len(Role)


@pytest.mark.parametrize(("role", "is_staff"), [(r, r in ("agent", "service")) for r in Role])
def test_staff_are_agents_and_services(role: Role, is_staff: bool) -> None:
    assert Identity("u", role, 1).is_staff is is_staff
