def names_of(content: str) -> str: return ""
