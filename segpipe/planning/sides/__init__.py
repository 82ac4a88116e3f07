"""Sides: which patients are tested, and which fold each other one validates."""
