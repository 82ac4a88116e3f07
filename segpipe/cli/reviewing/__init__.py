"""The commands on reviews: their cases, people, records and corrections."""
