"""The schemas of all tables, a module a part of the study."""
