"""Certificates: what makes a re-proof quick, and the check that believes none of it."""
