"""From rows to windows: dates, panel, features, scaling."""
