"""The modules of the simulated organisation, their fields, and how the value of a seeded record is computed.

A seeded record is not stored: its values are a function of the seed number, the field and its position. Only what was
written by a client is kept, so a million records cost a few narrow rows (see ``store``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from airflow_provider_zohocrm.simulator import values as v

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.clock import Clock

ORG_PREFIX = 3_652_397
"""The first digits of every id: ids have 19 digits and lie above 2^53."""

SEED_EPOCH = 1_672_531_200
"""Creation time of the first seeded record: 2023-01-01T00:00:00Z."""

ID_STEP = 3
SUBFORM_NUMBER = 100
"""The number of a subform's module is that of its parent and this."""
SUBFORM_SIZES = 3
"""Seeded records have none, one, or two rows in a subform, in turn."""
SUBFORM_STEP = 10
MAX_SEEDED = 300_000_000


class Row(NamedTuple):
    """A record as the store keeps it; ``body`` is the JSON of a record a client has written, else ``None``."""

    id: int
    seq: int
    created: int
    modified: int
    view: int
    link1: int | None
    link2: int | None
    body: bytes | None


Maker = Callable[[Row], Any]


@dataclass(frozen=True, eq=False)
class Field:
    """A field of a module."""

    api_name: str
    data_type: str
    json_type: str
    make: Maker
    length: int = 255
    label: str = ""
    choices: tuple[str, ...] = ()
    lookup: str = ""
    link: int = 0
    """Which column of the store holds the id of a lookup: 1, 2, or 0 for none."""
    mandatory: bool = False
    unique: bool = False
    read_only: bool = False
    custom: bool = False
    decimals: int | None = None
    system: bool = False
    """The value comes from columns of the store even for written records."""
    find: Callable[[str], int | None] | None = None
    """For values that are different in every seeded record: from the value back to the position."""
    pool: tuple[Sequence[Any], int, int] | None = None
    """For values picked from a pool: pool, factor, offset. Lets a page be computed column by column."""

    @property
    def exportable(self) -> bool:
        """Bulk read refuses subforms and images."""
        return self.data_type not in {"subform", "profileimage"}

    @property
    def listed(self) -> bool:
        """Subforms come only with a single record (SEED-0)."""
        return self.data_type != "subform"


@dataclass(frozen=True)
class RelatedList:
    """A related list: children that point at the parent, or members of a link table."""

    api_name: str
    module: str
    lookup: str = ""
    """API name of the lookup in the child; empty for a link table."""


@dataclass(eq=False)
class Module:
    """A module."""

    api_name: str
    number: int
    singular: str
    display: str
    """API name of the field whose value names a record."""
    duplicate_field: str
    """System field of the duplicate check, empty where the module has none (sheet §3.3)."""
    fields: dict[str, Field]
    related: tuple[RelatedList, ...] = ()
    default_seed: int = 40
    custom: bool = False
    hidden_views: bool = False
    """Has converted and unapproved records, left out of an ordinary list."""
    links: tuple[str, ...] = ()
    """Modules the columns link1 and link2 point at."""
    parent: Module | None = None
    """The module whose subform this one holds the rows of."""
    subforms: dict[str, Module] = field(default_factory=dict)
    """The modules of the rows of its subforms."""
    unique: tuple[str, ...] = field(init=False)
    keys: tuple[str, ...] = field(init=False)
    """Fields by whose value a record is found."""
    listed: tuple[Field, ...] = field(init=False)
    exported: tuple[Field, ...] = field(init=False)
    stored: tuple[Field, ...] = field(init=False)
    """Fields whose values stand in the body of a written record."""
    blank: dict[str, Any] = field(init=False)
    """What a new record has in its fields that are never null."""

    def __post_init__(self) -> None:
        self._sort_fields()

    def add_subform(self, rows: Module, spec: Field) -> None:
        """Add a subform.

        :param rows: the module of its rows.
        :param spec: the field.
        """
        self.subforms[rows.api_name] = rows
        self.fields[spec.api_name] = spec
        self._sort_fields()

    def _sort_fields(self) -> None:
        self.unique = tuple(f.api_name for f in self.fields.values() if f.unique)
        system = [self.duplicate_field] if self.duplicate_field else []
        self.keys = tuple(dict.fromkeys([*self.unique, *system]))
        self.listed = tuple(f for f in self.fields.values() if f.listed)
        self.exported = tuple(f for f in self.fields.values() if f.exportable and f.api_name != "id")
        self.stored = tuple(f for f in self.fields.values() if not f.system)
        self.blank = {f.api_name: [] for f in self.fields.values() if f.json_type == "jsonarray"}
        self.blank |= {f.api_name: False for f in self.fields.values() if f.data_type == "boolean"}

    @property
    def table(self) -> str:
        """Name of its table in the store."""
        return f"r_{self.api_name.lower()}"

    @property
    def first_id(self) -> int:
        """Id of the first seeded record."""
        if self.parent is not None:
            # Room for ten rows of every parent, before the ids of new records.
            return (ORG_PREFIX * 1_000 + 700 + 4 * self.parent.number) * 1_000_000_000 + 1
        return (ORG_PREFIX * 1_000 + self.number) * 1_000_000_000 + 100_001

    @property
    def module_id(self) -> str:
        """Id of the module itself in the metadata."""
        return str(ORG_PREFIX * 10**12 + 2_000 + self.number)

    def view_id(self, number: int) -> str:
        """Return the id of a custom view: 0 is all records, 1 is those of the current user.

        :param number: which view.
        """
        return str(ORG_PREFIX * 10**12 + 30_000 + self.number * 10 + number)

    def field_id(self, spec: Field) -> str:
        """Return the id of a field in the metadata.

        :param spec: the field.
        """
        return str(
            ORG_PREFIX * 10**12 + 100_000 + self.number * 1_000 + list(self.fields).index(spec.api_name)
        )


@dataclass(frozen=True)
class User:
    """A user of the organisation."""

    id: str
    first_name: str
    last_name: str
    email: str

    @property
    def name(self) -> str:
        """Full name."""
        return f"{self.first_name} {self.last_name}"

    def short(self) -> dict[str, str]:
        """As shown in owner fields."""
        return {"name": self.name, "id": self.id, "email": self.email}

    def shortest(self) -> dict[str, str]:
        """As shown in answers to writes: without the address."""
        return {"name": self.name, "id": self.id}


USERS = tuple(
    User(
        str(ORG_PREFIX * 10**12 + 225_013 + n),
        first,
        last,
        f"{first.lower().replace('ü', 'ue')}.{n}@zylker.example",
    )
    for n, (first, last) in enumerate(
        (
            ("Patricia", "Boyle"),
            ("Jane", "O'Hara"),
            ("Jürgen", "Groß"),
            ("Mei", "Ling, Wu"),
            ("Ravi", "Kumar"),
        )
    )
)
CURRENT_USER = USERS[0]


SUBFORMS = {"Leads": "Positions", "Quotes": "Quoted_Items", "Invoices": "Invoiced_Items"}


def subform_rows(module: Module, parent: Row) -> list[Row]:
    """Return the rows that a subform has in one record.

    :param module: the module of the rows.
    :param parent: the record.
    """
    if parent.body is None:
        return [
            parent._replace(
                id=module.first_id + parent.seq * SUBFORM_STEP + n,
                seq=parent.seq * SUBFORM_STEP + n,
                link1=parent.id,
                link2=None,
            )
            for n in range(parent.seq % SUBFORM_SIZES)
        ]
    return written_rows(parent, orjson.loads(parent.body).get(module.api_name) or [])


def written_rows(parent: Row, contents: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows of a subform of a record that a client has written.

    :param parent: the record.
    :param contents: their values.
    """
    return [
        parent._replace(id=int(one["id"]), seq=n, link1=parent.id, link2=None, body=orjson.dumps(one))
        for n, one in enumerate(contents)
    ]


class FieldFactory:
    """Builds fields whose seeded values depend on a seed number."""

    def __init__(self, seed_number: int, clock: Clock, name_of: Callable[[str, int], str | None]) -> None:
        self.seed_number = seed_number
        self.clock = clock
        self.name_of = name_of

    def _spread(self, name: str) -> tuple[int, int]:
        mixed = crc32(name.encode()) ^ (self.seed_number * 2_654_435_761 & 0xFFFFFFFF)
        return (mixed & 0xFFFF) | 1, mixed >> 16

    def _pick(self, name: str, pool: Sequence[Any]) -> tuple[int, int]:
        factor, offset = self._spread(name)
        size = len(pool)
        # A factor that shares a divisor with the size would never reach some values.
        while any(factor % prime == 0 and size % prime == 0 for prime in (3, 5, 7, 11, 13, 17, 19, 29)):
            factor += 2
        return factor, offset

    def _plain(self, name: str, data_type: str, json_type: str, pool: Sequence[Any], **more: Any) -> Field:
        factor, offset = self._pick(name, pool)
        size = len(pool)

        def make(row: Row) -> Any:
            return pool[(row[1] * factor + offset) % size]

        return Field(name, data_type, json_type, make, pool=(pool, factor, offset), **more)

    def text(self, name: str, pool: Sequence[Any] = v.TEXTS, **more: Any) -> Field:
        """Build a single line text field."""
        return self._plain(name, more.pop("data_type", "text"), "string", pool, **more)

    def textarea(self, name: str, pool: Sequence[Any] = v.DESCRIPTIONS) -> Field:
        """Build a multi line text field."""
        return self._plain(name, "textarea", "string", pool, length=32_000)

    def numbered(
        self, name: str, data_type: str, form: str, suffix: str = "", *, gaps: int = 0, **more: Any
    ) -> Field:
        """Build a text that is different in every record, and can be found again.

        :param form: what stands before the number.
        :param suffix: what stands behind it.
        :param gaps: every so many records have no value.
        """

        def make(row: Row) -> str | None:
            return None if gaps and row[1] % gaps == gaps - 1 else f"{form}{row[1]:07d}{suffix}"

        def find(text: str) -> int | None:
            low = text.lower()
            if not (low.startswith(form.lower()) and low.endswith(suffix.lower())):
                return None
            digits = low[len(form) : len(low) - len(suffix)]
            return int(digits) if digits.isascii() and digits.isdigit() else None

        return Field(name, data_type, "string", make, find=find, **more)

    def picklist(
        self, name: str, choices: tuple[str, ...], *, nullable: bool = True, custom: bool = False
    ) -> Field:
        """Build a picklist."""
        pool = (*choices, None) if nullable else choices
        return self._plain(name, "picklist", "string", pool, choices=choices, length=120, custom=custom)

    def multiselect(self, name: str, choices: tuple[str, ...], *, custom: bool = True) -> Field:
        """Build a multi-select picklist."""
        sets: tuple[list[str], ...] = (
            [],
            list(choices[:1]),
            list(choices[1:3]),
            list(choices),
            list(choices[-2:]),
        )
        return self._plain(
            name, "multiselectpicklist", "jsonarray", sets, choices=choices, custom=custom, length=2_000
        )

    def boolean(self, name: str, *, custom: bool = False) -> Field:
        """Build a checkbox."""
        return self._plain(name, "boolean", "boolean", (False, True, False), custom=custom)

    def integer(self, name: str, *, custom: bool = False) -> Field:
        """Build a whole number."""
        return self._plain(name, "integer", "integer", v.NUMBERS, length=9, custom=custom)

    def currency(self, name: str, *, custom: bool = False) -> Field:
        """Build an amount of money."""
        return self._plain(name, "currency", "double", v.MONEY, length=16, decimals=2, custom=custom)

    def double(self, name: str, *, custom: bool = True) -> Field:
        """Build a decimal number."""
        return self._plain(name, "double", "double", v.DECIMALS, length=16, decimals=9, custom=custom)

    def bigint(self, name: str, *, unique: bool = False) -> Field:
        """Build a big integer, which travels as text."""
        if not unique:
            pool = [None if n is None else str(n) for n in v.BIG_NUMBERS]
            return self._plain(name, "bigint", "string", pool, length=19, custom=True)
        start = 9_100_000_000_000_000_000

        def find(text: str) -> int | None:
            return int(text) - start if text.isascii() and text.isdigit() and int(text) >= start else None

        make: Maker = lambda row: str(start + row[1])  # noqa: E731 - one expression, called a million times
        return Field(name, "bigint", "string", make, length=19, custom=True, unique=True, find=find)

    def day(self, name: str, *, custom: bool = False) -> Field:
        """Build a date, leap days and far years among them."""
        first = date(1960, 2, 29).toordinal()
        pool = [date.fromordinal(first + n * 997).isoformat() for n in range(28)]
        return self._plain(name, "date", "string", [*pool, None, "2024-02-29", "9999-12-31"], custom=custom)

    def moment(self, name: str, *, custom: bool = False) -> Field:
        """Build a date-time in the user's offset, winter and summer, some empty."""
        factor, offset = self._spread(name)
        clock = self.clock

        def make(row: Row) -> str | None:
            place = row[1] * factor + offset
            return None if place % 6 == 5 else clock.iso(row[2] + place % 31_536_000)

        return Field(name, "datetime", "string", make, custom=custom)

    def owner(self, name: str, *, read_only: bool = False) -> Field:
        """Build a field that holds a user."""
        people = [user.short() for user in USERS]
        return self._plain(name, "ownerlookup", "jsonobject", people, read_only=read_only)

    def lookup(
        self, name: str, module: str, link: int, *, custom: bool = False, mandatory: bool = False
    ) -> Field:
        """Build a lookup whose target is in a column of the store.

        :param link: 1 or 2.
        """
        column = 4 + link
        name_of = self.name_of

        def make(row: Row) -> dict[str, Any] | None:
            target: Any = row[column]
            return None if target is None else {"name": name_of(module, target), "id": str(target)}

        return Field(
            name, "lookup", "jsonobject", make, lookup=module, link=link, custom=custom, mandatory=mandatory, system=True
        )  # fmt: skip

    def subform(self, module: Module) -> Field:
        """Build a subform: rows of their own, shown only with a single record.

        :param module: the module of the rows, see ``rows_of``.
        """
        specs = list(module.fields.values())

        def make(row: Row) -> list[dict[str, Any]]:
            return [
                {
                    spec.api_name: spec.make(one)
                    if one.body is None or spec.system
                    else orjson.loads(one.body).get(spec.api_name)
                    for spec in specs
                }
                for one in subform_rows(module, row)
            ]

        return Field(module.api_name, "subform", "jsonarray", make, custom=True, system=True)

    def rows_of(self, parent: Module, name: str) -> Module:
        """Build the module of the rows of a subform; it has the subform's name.

        :param parent: the module that has the subform.
        :param name: API name of the subform.
        """
        clock, name_of, display = self.clock, self.name_of, parent.fields[parent.display]

        def number(row: Row) -> int:
            return row[1] % SUBFORM_STEP

        def parent_of(row: Row) -> dict[str, Any]:
            link: Any = row[5]
            # Of a seeded row the parent was never written: its name is computed, not read.
            above = row._replace(id=link, seq=row[1] // SUBFORM_STEP)
            shown = name_of(parent.api_name, link) if row[7] is not None else display.make(above)
            return {"name": shown, "id": str(link)}

        def moment(place: int) -> Maker:
            return lambda row: clock.iso(int(str(row[place])))

        day = date(2024, 2, 28).toordinal()
        fixed: dict[str, Any] = {"read_only": True, "system": True}
        fields = [
            Field("id", "bigint", "string", lambda row: str(row[0]), length=20, label="Record Id", **fixed),
            Field("Parent_Id", "lookup", "jsonobject", parent_of, lookup=parent.api_name, link=1, **fixed),
            Field("Created_Time", "datetime", "string", moment(2), **fixed),
            Field("Modified_Time", "datetime", "string", moment(3), **fixed),
            Field("Product_Name", "text", "string", lambda row: f'Item {number(row)}, "boxed"', custom=True),
            Field("Quantity", "integer", "integer", lambda row: number(row) + 1, length=9, custom=True),
            Field(
                "Price", "currency", "double", lambda row: 9.99 * (number(row) + 1), length=16, decimals=2, custom=True
            ),
            Field(
                "Due_On", "date", "string", lambda row: date.fromordinal(day + row[1] % 700).isoformat(), custom=True
            ),
        ]  # fmt: skip
        return Module(
            name, SUBFORM_NUMBER + parent.number, name.replace("_", " ").removesuffix("s"), "Product_Name", "",
            {spec.api_name: spec for spec in fields}, default_seed=0, links=(parent.api_name,), parent=parent,
        )  # fmt: skip

    def tags(self) -> Field:
        """Build the tags of a record."""
        first = ORG_PREFIX * 10**12 + 7_000
        tags = [
            {"name": name, "id": str(first + n), "color_code": None} for n, (_, name) in enumerate(v.TAGS)
        ]
        return self._plain("Tag", "text", "jsonarray", ([], tags[:1], [], tags[1:], []), length=2_000)

    def base(self) -> list[Field]:
        """Build what every module has."""
        clock = self.clock
        return [
            Field(
                "id",
                "bigint",
                "string",
                lambda row: str(row[0]),
                read_only=True,
                system=True,
                length=20,
                label="Record Id",
            ),
            self.owner("Owner"),
            self.owner("Created_By", read_only=True),
            self.owner("Modified_By", read_only=True),
            Field(
                "Created_Time",
                "datetime",
                "string",
                lambda row: clock.iso(row[2]),
                read_only=True,
                system=True,
            ),
            Field(
                "Modified_Time",
                "datetime",
                "string",
                lambda row: clock.iso(row[3]),
                read_only=True,
                system=True,
            ),
            self.tags(),
        ]


def _person(make: FieldFactory, kind: str) -> list[Field]:
    return [
        make.picklist("Salutation", v.SALUTATIONS),
        make.text("First_Name", v.FIRST_NAMES, length=40),
        make.text("Last_Name", v.FAMILY_NAMES, length=80, mandatory=True),
        make.numbered("Email", "email", f"{kind}.", "@example.com", gaps=13, length=100),
        make.text("Secondary_Email", (None, "second@example.org", ""), data_type="email", length=100),
        make.text("Phone", v.PHONES, data_type="phone", length=30),
        make.text("Mobile", v.PHONES, data_type="phone", length=30),
        make.text("Fax", v.PHONES, length=30),
        make.boolean("Email_Opt_Out"),
        make.text("Skype_ID", (None, "live:x", "a;b"), length=50),
        make.text("Twitter", (None, "zylker", ""), length=50),
        make.picklist("Lead_Source", v.SOURCES),
        make.textarea("Description"),
        make.numbered("External_Key", "text", f"{kind.upper()}-", length=50, custom=True, unique=True),
        make.moment("Last_Activity_Time"),
    ]


def _address(make: FieldFactory, prefix: str = "") -> list[Field]:
    return [
        make.text(f"{prefix}Street", v.STREETS),
        make.text(f"{prefix}City", v.CITIES, length=100),
        make.text(f"{prefix}State", v.STATES, length=100),
        make.text(f"{prefix}Zip_Code", v.ZIPS, length=30),
        make.text(f"{prefix}Country", v.COUNTRIES, length=100),
    ]


def _leads(make: FieldFactory) -> list[Field]:
    full = make.text("First_Name", v.FIRST_NAMES), make.text("Last_Name", v.FAMILY_NAMES)

    def full_name(row: Row) -> str:
        return f"{full[0].make(row) or ''} {full[1].make(row)}".strip()

    return [
        make.text("Company", v.COMPANIES, length=100, mandatory=True),
        *_person(make, "lead"),
        Field("Full_Name", "text", "string", full_name, read_only=True, length=120),
        make.text("Designation", v.JOBS, length=100),
        make.text("Website", v.SITES, data_type="website"),
        make.picklist("Lead_Status", v.LEAD_STATUSES),
        make.picklist("Industry", v.INDUSTRIES),
        make.integer("No_of_Employees"),
        make.currency("Annual_Revenue"),
        make.picklist("Rating", v.RATINGS),
        *_address(make),
        make.bigint("Customer_Number", unique=True),
        make.bigint("Ledger_Number"),
        make.double("Score"),
        make.multiselect("Languages", v.LANGUAGES),
        make.day("Birthday", custom=True),
        make.moment("Next_Call", custom=True),
        make.lookup("Partner", "Accounts", 1, custom=True),
    ]


def _contacts(make: FieldFactory) -> list[Field]:
    return [
        *_person(make, "contact"),
        make.lookup("Account_Name", "Accounts", 1),
        make.text("Title", v.JOBS, length=100),
        make.text("Department", length=50),
        make.day("Date_of_Birth"),
        *_address(make, "Mailing_"),
        make.multiselect("Languages", v.LANGUAGES),
    ]


def _accounts(make: FieldFactory) -> list[Field]:
    return [
        make.numbered("Account_Name", "text", 'Zylker "Ärzte", ', length=200, mandatory=True),
        make.text("Phone", v.PHONES, data_type="phone", length=30),
        make.text("Website", v.SITES, data_type="website"),
        make.picklist("Industry", v.INDUSTRIES),
        make.integer("Employees"),
        make.currency("Annual_Revenue"),
        make.numbered("External_Key", "text", "ACCOUNT-", length=50, custom=True, unique=True),
        make.picklist("Rating", v.RATINGS),
        *_address(make, "Billing_"),
        make.textarea("Description"),
        make.moment("Last_Activity_Time"),
    ]


def _deals(make: FieldFactory) -> list[Field]:
    custom: list[Field] = []
    for n in range(1, 7):
        custom += [
            make.text(f"Single_Line_{n}", length=255, custom=True),
            make.integer(f"Number_{n}", custom=True),
            make.double(f"Decimal_{n}"),
            make.day(f"Date_{n}", custom=True),
            make.moment(f"Date_Time_{n}", custom=True),
            make.picklist(f"Pick_List_{n}", v.RATINGS, custom=True),
            make.boolean(f"Checkbox_{n}", custom=True),
            make.multiselect(f"Multi_Select_{n}", v.LANGUAGES),
        ]
    return [
        make.numbered("Deal_Name", "text", "Deal ", length=120, mandatory=True),
        make.lookup("Account_Name", "Accounts", 1),
        make.lookup("Contact_Name", "Contacts", 2),
        make.picklist("Stage", v.STAGES, nullable=False),
        make.currency("Amount"),
        make.day("Closing_Date"),
        make.integer("Probability"),
        make.picklist("Lead_Source", v.SOURCES),
        make.picklist("Type", ("Existing Business", "New Business")),
        make.text("Next_Step", length=100),
        make.textarea("Description"),
        make.numbered("External_Key", "text", "DEAL-", length=50, custom=True, unique=True),
        make.bigint("Ledger_Number"),
        make.moment("Last_Activity_Time"),
        *custom,
    ]


def _campaigns(make: FieldFactory) -> list[Field]:
    return [
        make.numbered("Campaign_Name", "text", "Campaign ", length=200, mandatory=True),
        make.picklist("Type", v.CAMPAIGN_TYPES),
        make.picklist("Status", v.CAMPAIGN_STATUSES),
        make.day("Start_Date"),
        make.day("End_Date"),
        make.currency("Budgeted_Cost"),
        make.double("Expected_Response", custom=False),
        make.textarea("Description"),
    ]


def _tasks(make: FieldFactory) -> list[Field]:
    return [
        make.text("Subject", ("Call back", 'Send "offer"', "Rück;fragen"), mandatory=True),
        make.picklist("Status", v.TASK_STATUSES),
        make.picklist("Priority", v.PRIORITIES),
        make.day("Due_Date"),
        make.lookup("Who_Id", "Contacts", 1),
        make.lookup("What_Id", "Leads", 2),
        make.textarea("Description"),
        make.boolean("Send_Notification_Email"),
    ]


def _events(make: FieldFactory) -> list[Field]:
    clock = make.clock

    def start(row: Row) -> str:
        return clock.iso(row[2] + 86_400)

    def end(row: Row) -> str:
        return clock.iso(row[2] + 90_000)

    return [
        make.text(
            "Event_Title", ("Demo, part 1", "Review; all", "Café\nTermin", 'Kick-off "2024"'), mandatory=True
        ),
        Field("Start_DateTime", "datetime", "string", start, mandatory=True),
        Field("End_DateTime", "datetime", "string", end, mandatory=True),
        make.text("Venue", v.CITIES),
        make.boolean("All_day"),
        make.lookup("Who_Id", "Contacts", 1),
        make.textarea("Description"),
    ]


def _calls(make: FieldFactory) -> list[Field]:
    return [
        make.text("Subject", ("Intro call", "Follow-up"), mandatory=True),
        make.picklist("Call_Type", v.CALL_TYPES, nullable=False),
        make.moment("Call_Start_Time"),
        make.text("Call_Duration", ("05:30", None, "61:00")),
        make.integer("Call_Duration_in_seconds"),
        make.lookup("Who_Id", "Contacts", 1),
        make.textarea("Description"),
    ]


def _products(make: FieldFactory) -> list[Field]:
    return [
        make.numbered("Product_Name", "text", "Product ", length=200, mandatory=True),
        make.numbered("Product_Code", "text", "P-", length=40, unique=True),
        make.picklist("Product_Category", v.CATEGORIES),
        make.currency("Unit_Price"),
        make.double("Qty_in_Stock", custom=False),
        make.boolean("Product_Active"),
        make.textarea("Description"),
    ]


def _inventory(make: FieldFactory, kind: str, extra: list[Field]) -> list[Field]:
    return [
        make.numbered("Subject", "text", f"{kind} ", length=120, mandatory=True),
        make.lookup("Account_Name", "Accounts", 1),
        make.lookup("Contact_Name", "Contacts", 2),
        make.currency("Grand_Total"),
        make.currency("Sub_Total"),
        *extra,
        make.textarea("Description"),
    ]


def _machines(make: FieldFactory) -> list[Field]:
    return [
        make.numbered("Name", "text", "Machine ", length=120, mandatory=True),
        make.numbered("Email", "email", "machine.", "@example.com", length=100),
        make.numbered("Serial_Number", "text", "SN-", length=60, custom=True, unique=True),
        make.lookup("Customer", "Accounts", 1, custom=True),
        make.double("Power"),
        make.day("Built_On", custom=True),
        make.boolean("Running", custom=True),
        make.text("Remark", custom=True),
        make.multiselect("Languages", v.LANGUAGES),
    ]


def _notes(make: FieldFactory) -> list[Field]:
    return [
        make.text("Note_Title", ("First call", "Notiz", None), length=120),
        make.textarea("Note_Content"),
        make.lookup("Parent_Id", "Leads", 1, mandatory=True),
    ]


def build_modules(make: FieldFactory) -> dict[str, Module]:
    """Build every module.

    :param make: the factory of fields.
    :returns: module by API name; a module comes after those its lookups point at.
    """
    related = RelatedList

    def module(
        name: str, number: int, singular: str, display: str, duplicate: str, own: list[Field], **more: Any
    ) -> Module:
        fields = {f.api_name: f for f in [*make.base(), *own]}
        links = tuple(f.lookup for f in sorted(fields.values(), key=lambda f: f.link) if f.link)
        return Module(name, number, singular, display, duplicate, fields, links=links, **more)

    modules = [
        module(
            "Accounts", 3, "Account", "Account_Name", "Account_Name", _accounts(make),
            related=(
                related("Contacts", "Contacts", "Account_Name"), related("Deals", "Deals", "Account_Name"),
                related("Quotes", "Quotes", "Account_Name"), related("Invoices", "Invoices", "Account_Name"),
                related("Machines", "Machines", "Customer"),
            ),
        ),
        module(
            "Contacts", 2, "Contact", "Last_Name", "Email", _contacts(make), default_seed=120,
            related=(
                related("Deals", "Deals", "Contact_Name"), related("Tasks", "Tasks", "Who_Id"),
                related("Events", "Events", "Who_Id"), related("Calls", "Calls", "Who_Id"),
                related("Campaigns", "Campaigns"), related("Products", "Products"),
            ),
        ),
        module(
            "Leads", 1, "Lead", "Full_Name", "Email", _leads(make), default_seed=250, hidden_views=True,
            related=(
                related("Notes", "Notes", "Parent_Id"), related("Tasks", "Tasks", "What_Id"),
                related("Campaigns", "Campaigns"), related("Products", "Products"),
            ),
        ),
        module("Deals", 4, "Deal", "Deal_Name", "Deal_Name", _deals(make), default_seed=90),
        module(
            "Campaigns", 5, "Campaign", "Campaign_Name", "Campaign_Name", _campaigns(make),
            default_seed=12, related=(related("Leads", "Leads"), related("Contacts", "Contacts")),
        ),
        module("Tasks", 6, "Task", "Subject", "", _tasks(make)),
        module("Events", 7, "Event", "Event_Title", "", _events(make)),
        module("Calls", 8, "Call", "Subject", "", _calls(make)),
        module("Products", 9, "Product", "Product_Name", "Product_Name", _products(make), default_seed=25),
        module(
            "Quotes", 10, "Quote", "Subject", "Subject",
            _inventory(make, "Quote", [make.picklist("Quote_Stage", v.QUOTE_STAGES), make.day("Valid_Till")]),
        ),
        module(
            "Invoices", 11, "Invoice", "Subject", "Subject",
            _inventory(make, "Invoice", [make.picklist("Status", v.INVOICE_STATUSES), make.day("Invoice_Date")]),
        ),
        module("Machines", 12, "Machine", "Name", "Name", _machines(make), custom=True),
        module("Notes", 13, "Note", "Note_Title", "", _notes(make), default_seed=60),
    ]  # fmt: skip
    built = {m.api_name: m for m in modules}
    for name, subform in SUBFORMS.items():
        rows = make.rows_of(built[name], subform)
        built[name].add_subform(rows, make.subform(rows))
    return built
