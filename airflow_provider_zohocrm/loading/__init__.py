"""How records and files get into a module: between what speaks Zoho and what an operator or hook offers.

Nothing here imports Airflow.
"""

from __future__ import annotations
