"""What seeded records are made of: ordinary words, and the values that break careless readers (sheet §10.1 row 28)."""

from __future__ import annotations

# The same word once composed (NFC) and once decomposed (NFD): equal to the eye, different to a join.
NFC_CAFE = "Caf\u00e9 M\u00fcnchen"
NFD_CAFE = "Cafe\u0301 Mu\u0308nchen"

FIRST_NAMES = (
    "Patricia", "Jos\u00e9", "Jose\u0301", "Anna-Lena", "\u0141ukasz", "\u5f20\u4f1f", "Yuki", "O'Brien", None, "",
    "Zo\u00eb", "Bj\u00f6rn", "\u0645\u062d\u0645\u062f", "Mary Ann", "Siobh\u00e1n", "Jean-Luc", "Priya",
)  # fmt: skip

FAMILY_NAMES = (
    "Boyle", "M\u00fcller", "Mu\u0308ller", "O'Neill", "d'Arc", "van der Berg", 'Smith "Smitty" Jr.', "Garc\u00eda",
    "Ng", "\u738b", "\u0160vec", "Smith, John", "Null", "=SUM(A1)", "L\u00fctzow; Graf", "Nguy\u1ec5n", "Strau\u00df",
    "Kowalski", "Sato",
)  # fmt: skip

COMPANIES = (
    "Zylker", "King & Sons", 'The "Best" Ltd.', "Morlong, Associates", NFC_CAFE, NFD_CAFE, "Benton;Partners",
    '=HYPERLINK("http://127.0.0.1")', "\u682a\u5f0f\u4f1a\u793e\u30bd\u30cb\u30fc", "Chapman\tTab", "Acme", "\u00c5ngstr\u00f6m AB",
    "Feltz Printing", "Commercial Press", "Truhlar And Truhlar", "-1 Records", "@home",
)  # fmt: skip

TEXTS = (
    "plain", "with, comma", 'with "quotes"', "two\nlines", "carriage\r\nreturn", "semi;colon", "=1+1", "+49 30 1", "-5",
    "@cmd", "  spaces around  ", "na\u00efve", "nai\u0308ve", "\U0001f680 rocket", "", None, "null", "NULL", "0012", "1e5",
    "\\back\\slash", "<b>html</b>", "tab\there", "it's", "%20", "\u200bzero width", "\u05e9\u05dc\u05d5\u05dd", "TRUE",
    "2024-02-30",
)  # fmt: skip

DESCRIPTIONS = (
    None, "Called twice.\nWants an offer.", 'Said: "never again", then bought; twice.', "", "Zeile 1\r\nZeile 2\r\n\r\nZeile 4",
    "Long text. " * 12, "\u65e5\u672c\u8a9e\u306e\u30e1\u30e2\u3002", 'ends with a quote"', ",", '"', "caf\u00e9 and cafe\u0301",
)  # fmt: skip

JOBS = (
    "VP Accounting", "Director", "R&D Engineer", None, "CEO", 'Head of "Special" Projects', "Buyer", "", "Gesch\u00e4ftsf\u00fchrer",
    "Analyst; Data", "CTO",
)  # fmt: skip

STREETS = (
    "5th Avenue 228\nRunamuck Pl", "Hauptstra\u00dfe 1", None, "25 E 75th St #69", "Rue de l'\u00c9glise, 3", "1-1 Chiyoda", "",
)  # fmt: skip

CITIES = (
    "Middle Island", "M\u00fcnchen", "S\u00e3o Paulo", "\u6771\u4eac", "New York", None, "\u0141\u00f3d\u017a", "Chennai", "Reykjav\u00edk", "Bengaluru", "Paris",
)  # fmt: skip

STATES = ("NY", "BY", "SP", None, "TN", "KA", "")
COUNTRIES = ("United States", "Deutschland", "Brasil", "\u65e5\u672c", "India", None, "C\u00f4te d'Ivoire")
ZIPS = ("11953", "00501", "80331", None, "100-0001", "SW1A 1AA", "")
PHONES = ("555-555-5555", "+49 89 123456", None, "(0)20 7946 0958", "", "0012", "9400000001")
SITES = (
    "http://www.rangoniofflorence.com",
    None,
    "https://example.com/a?b=c&d=e,f",
    "http://localhost/%22",
    "",
)
SOURCES = (
    "Cold Call",
    "Advertisement",
    "External Referral",
    "Trade Show",
    "Web Download",
    "Public Relations",
    "Chat",
)
LEAD_STATUSES = (
    "Contacted",
    "Not Contacted",
    "Lost Lead",
    "Junk Lead",
    "Pre-Qualified",
    "Attempted to Contact",
    "Not Qualified",
)
INDUSTRIES = (
    "ASP",
    "Data/Telecom OEM",
    "ERP",
    "Government/Military",
    "Large Enterprise",
    "Optical Networking",
    "\u00c9nergie",
)
RATINGS = ("Acquired", "Active", "Market Failed", "Project Cancelled", "Shut Down")
STAGES = (
    "Qualification", "Needs Analysis", "Value Proposition", "Identify Decision Makers", "Proposal/Price Quote",
    "Negotiation/Review", "Closed Won", "Closed Lost",
)  # fmt: skip
SALUTATIONS = ("Mr.", "Mrs.", "Ms.", "Dr.", "Prof.")
LANGUAGES = ("English", "Deutsch", "Fran\u00e7ais", "\u65e5\u672c\u8a9e", "Espa\u00f1ol")
PRIORITIES = ("High", "Highest", "Low", "Lowest", "Normal")
TASK_STATUSES = ("Not Started", "Deferred", "In Progress", "Completed", "Waiting for input")
CALL_TYPES = ("Inbound", "Outbound", "Missed")
CATEGORIES = ("Hardware", "Software", "CRM Applications", "Service")
QUOTE_STAGES = ("Draft", "Negotiation", "Delivered", "On Hold", "Confirmed", "Closed Won", "Closed Lost")
INVOICE_STATUSES = ("Created", "Approved", "Delivered", "Cancelled")
CAMPAIGN_TYPES = ("Conference", "Webinar", "Trade Show", "Public Relations", "Partners", "Email")
CAMPAIGN_STATUSES = ("Planning", "Active", "Inactive", "Complete")
NUMBERS = (0, 1, 12, 250, None, 9999, 2_147_483_647, -3, 42)
MONEY = (0, 850_000, 1234.5, None, 0.01, 99_999_999.99, 50_000, 12.3, 700)
DECIMALS = (0.0, 1.5, -2.25, None, 0.1, 3.141592653589793, 1e-7, 12345.678901, 100.0)
# Above 2^53: a reader that goes through floats changes them.
BIG_NUMBERS = (
    9_007_199_254_740_993,
    1_234_567_890_123_456_789,
    9_223_372_036_854_775_807,
    None,
    7,
    100_000_000_000_000_001,
)
TAGS = (("id-blue", "Blue"), ("id-vip", 'VIP "gold"'), ("id-event", "\u00c9v\u00e9nement; 2024"))
