"""Measures of how alike two representations are."""
