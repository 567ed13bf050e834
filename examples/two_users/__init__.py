"""A notebook for two people who share some notes and keep the others to themselves."""
