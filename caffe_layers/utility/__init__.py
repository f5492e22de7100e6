"""Layers that only move, cut or join data."""
