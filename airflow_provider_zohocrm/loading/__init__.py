"""How files get into a module: between what asks (operators, hook) and what sends and reads (client, storage).

Nothing here imports Airflow.
"""
