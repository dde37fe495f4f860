"""BigQuery: rows in by Storage Read, forecasts out by MERGE, cost shown first."""
