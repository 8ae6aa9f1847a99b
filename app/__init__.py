"""Parley: a conversation service for applications built on language models."""

NAME = "Parley"
VERSION = "0.1.0"
