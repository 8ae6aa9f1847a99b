"""Parley: a conversation service for everyone who builds on language models."""

NAME = "Parley"
VERSION = "0.1.0"
