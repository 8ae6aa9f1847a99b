"""Formulas of Office (OMML, ECMA-376, part 1, 22.1) as a line of text: `x=(a+b)/2`, `x^2`, `√(y)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.rag.extraction.office.package import OFFICE, Element

M = f"{{{OFFICE}/officeDocument/2006/math}}"
FORMULA = f"{M}oMath"
TEXT = {f"{M}t", f"{{{OFFICE}/wordprocessingml/2006/main}}t"}
DELETED = f"{{{OFFICE}/wordprocessingml/2006/main}}del"


def math_text(element: Element) -> str:
    """Return the text of a formula or of a part of one."""
    if element.tag in TEXT:
        return element.text or ""
    if element.tag == DELETED:
        return ""
    form = FORMS.get(element.tag)
    return form(element) if form else "".join(map(math_text, element))


def argument(element: Element, name: str) -> str:
    """Return the text of a part of a construct, such as the numerator of a fraction; empty if it has none."""
    found = element.find(f"{M}{name}")
    return "" if found is None else math_text(found).strip()


def grouped(text: str) -> str:
    """Return a term in parentheses unless it is a single word or number."""
    return text if text.replace(".", "").isalnum() or not text else f"({text})"


def fraction(element: Element) -> str:
    return f"{grouped(argument(element, 'num'))}/{grouped(argument(element, 'den'))}"


def scripts(element: Element) -> str:
    """Return a base with its index and its exponent."""
    index, exponent = grouped(argument(element, "sub")), grouped(argument(element, "sup"))
    return argument(element, "e") + (f"_{index}" if index else "") + (f"^{exponent}" if exponent else "")


def root(element: Element) -> str:
    degree = argument(element, "deg")
    return f"{f'root({degree})' if degree else '√'}({argument(element, 'e')})"


def large_operator(element: Element) -> str:
    """Return a sum or an integral with its limits."""
    operator = property_of(element, "naryPr", "chr", "∫")
    lower, upper = grouped(argument(element, "sub")), grouped(argument(element, "sup"))
    bounds = (f"_{lower}" if lower else "") + (f"^{upper}" if upper else "")
    return f"{operator}{bounds} {argument(element, 'e')}"


def delimited(element: Element) -> str:
    start, end = property_of(element, "dPr", "begChr", "("), property_of(element, "dPr", "endChr", ")")
    between = property_of(element, "dPr", "sepChr", "|")
    return start + between.join(math_text(each) for each in element.findall(f"{M}e")) + end


def matrix(element: Element) -> str:
    rows = (", ".join(math_text(cell) for cell in row.findall(f"{M}e")) for row in element.findall(f"{M}mr"))
    return f"[{'; '.join(rows)}]"


def function(element: Element) -> str:
    return f"{argument(element, 'fName')} {argument(element, 'e')}"


def equations(element: Element) -> str:
    return "\n".join(math_text(each) for each in element.findall(f"{M}e"))


def limit(element: Element) -> str:
    return f"{argument(element, 'e')}_{grouped(argument(element, 'lim'))}"


def property_of(element: Element, group: str, name: str, default: str) -> str:
    """Return a character that a construct's properties name; empty if they say that it has none."""
    found = element.find(f"{M}{group}/{M}{name}")
    return default if found is None else str(found.get(f"{M}val", ""))


FORMS: Mapping[str, Callable[[Element], str]] = {
    f"{M}f": fraction,
    f"{M}sSup": scripts,
    f"{M}sSub": scripts,
    f"{M}sSubSup": scripts,
    f"{M}rad": root,
    f"{M}nary": large_operator,
    f"{M}d": delimited,
    f"{M}m": matrix,
    f"{M}func": function,
    f"{M}eqArr": equations,
    f"{M}limLow": limit,
    f"{M}limUpp": limit,
}
