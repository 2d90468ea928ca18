"""Invented people and companies, always the same for the same number."""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "Ada Ben Cara Dan Ella Finn Gina Hugo Iris Jonas Kate Leo Mia Noah Olga Paul Quinn Rosa Sam Tina "
    "Uma Victor Wendy Xavier Yara Zoe Alan Beth Carl Dora Emil Fay Greta Henry Ivy Jack Kira Luis Maya Nils"
)
_LAST = _words(
    "Abbott Baker Carver Dalton Ellis Foster Garner Hughes Irwin Jensen Keller Lambert Mason Norris Osborne "
    "Parker Quigley Reeves Sawyer Tanner Underwood Vance Walker Xander Yates Zeller Barnes Cooper Drake Emerson "
    "Fisher Graves Hale Ingram Jarvis Knox Lowell Monroe Nash Orwell Porter Ross Sutton Thorne Upton Vaughn Wolfe"
)
_TOWNS = (
    ("Cincinnati", "45202"),
    ("Dayton", "45402"),
    ("Columbus", "43215"),
    ("Louisville", "40202"),
    ("Lexington", "40507"),
    ("Indianapolis", "46204"),
    ("Nashville", "37203"),
    ("Toledo", "43604"),
    ("Akron", "44308"),
    ("Knoxville", "37902"),
)
_STREETS = _words("Main Oak Maple Cedar Elm Washington Lake Hill Walnut Spring River Church Mill Park High")
_TRADES = _words("Catering Bakery Hotels Foods Logistics Clinics Schools Markets Kitchens Services")
_FORMS = _words("Inc LLC Group Partners Co")


# account managers of the B2B units: (login and e-mail address, name)
MANAGERS = (
    ("east.sales@example.com", "Erin Eastman"),
    ("west.sales@example.com", "Walt Weston"),
    ("key.accounts@example.com", "Kim Keyes"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A customer: ``uid`` is the e-mail address."""

    household: int
    first: str
    last: str
    uid: str
    customer_id: str
    phone: str
    street: str
    street_number: str
    postal_code: str
    town: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@dataclass(frozen=True, slots=True)
class Company:
    """A B2B unit with its households."""

    uid: str
    name: str
    phone: str
    street: str
    street_number: str
    postal_code: str
    town: str
    households: tuple[int, ...]


def mixed(number: int, salt: int) -> int:
    """A well-spread number that never changes between versions or machines."""
    value = (number * 2654435761 + salt * 40503 + 12345) & 0xFFFFFFFF
    value ^= value >> 15
    value = (value * 2246822519) & 0xFFFFFFFF
    return value ^ (value >> 13)


def person(household: int) -> Person:
    first = _FIRST[mixed(household, 1) % len(_FIRST)]
    last = _LAST[mixed(household, 2) % len(_LAST)]
    town, postal_code = _TOWNS[mixed(household, 3) % len(_TOWNS)]
    return Person(
        household=household,
        first=first,
        last=last,
        uid=f"{first}.{last}.{household}@example.com".lower(),
        customer_id=f"C{household:07d}",
        phone=_phone(household),
        street=f"{_STREETS[mixed(household, 4) % len(_STREETS)]} Street",
        street_number=str(mixed(household, 5) % 980 + 1),
        postal_code=postal_code,
        town=town,
    )


def _phone(number: int) -> str:
    return f"+1 513 555 {mixed(number, 6) % 10000:04d}"


def is_business(household: int) -> bool:
    """About one household in five buys for a company."""
    return mixed(household, 7) % 5 == 0


def consent(household: int) -> str:
    """Whether a person agreed to marketing: ``given``, ``withdrawn`` (given once), or ``none``; most did."""
    place = mixed(household, 15) % 20
    return "none" if place == 0 else "withdrawn" if place == 1 else "given"


def manager(unit: str) -> tuple[str, str]:
    """Login and name of the account manager of a B2B unit."""
    return MANAGERS[mixed(int(unit[1:]), 16) % len(MANAGERS)]


def companies(households: list[int]) -> list[Company]:
    """Units of three to eight business households, in the order given."""
    left = [household for household in households if is_business(household)]
    found: list[Company] = []
    while left:
        size = mixed(left[0], 8) % 6 + 3
        if 0 < len(left) - size < 3:
            size = len(left) if len(left) <= 8 else len(left) - 3
        found.append(_company(len(found) + 1, tuple(left[:size])))
        left = left[size:]
    return found


def _company(number: int, households: tuple[int, ...]) -> Company:
    town, postal_code = _TOWNS[mixed(number, 9) % len(_TOWNS)]
    name = _LAST[mixed(number, 10) % len(_LAST)]
    trade, form = _TRADES[mixed(number, 11) % len(_TRADES)], _FORMS[mixed(number, 12) % len(_FORMS)]
    return Company(
        uid=f"U{number:05d}",
        name=f"{name} {trade} {form}",
        phone=_phone(number + 1_000_000),
        street=f"{_STREETS[mixed(number, 13) % len(_STREETS)]} Avenue",
        street_number=str(mixed(number, 14) % 980 + 1),
        postal_code=postal_code,
        town=town,
        households=households,
    )
