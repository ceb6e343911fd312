"""How a whole module gets into files: between what speaks Zoho and what an operator or hook offers.

Nothing here imports Airflow.
"""

from __future__ import annotations
