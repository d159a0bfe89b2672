"""Results as people read them, as text and as HTML."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = {"mean": "mean", "sd": "sd", "quantile_16": "16 %", "median": "median", "quantile_84": "84 %"}


@dataclass(frozen=True)
class Part:
    """A table with a title, of cells that are text already."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """Tables of parameters, one a mode where there are several, and lines of names and values below them."""

    parts: Sequence[Part]
    facts: Mapping[str, str]
    reasons: Sequence[str]

    def __str__(self) -> str:
        blocks = []
        for part in self.parts:
            lines = aligned([part.header, *part.rows])
            blocks.append("\n".join([part.title, *lines] if part.title else lines))
        width = max(map(len, self.facts))
        blocks.append("\n".join(f"{name:<{width}}  {value}" for name, value in self.facts.items()))
        if self.reasons:
            blocks.append("\n".join(["NOT TO BE TRUSTED:", *(f"  {reason}" for reason in self.reasons)]))
        return "\n\n".join(blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self)


def summary_table(summary: Mapping[str, Any], status: str) -> Table:
    """Of a `summary.json`."""
    modes = summary["modes"] if len(summary["modes"]) > 1 else []
    parts = [part_of(summary["parameters"], "" if not modes else "all modes")] if summary["parameters"] else []
    for number, mode in enumerate(modes, 1):
        title = (
            f"mode {number} of {len(modes)}, {100 * mode['mass']:.1f} ± {100 * mode['error']:.1f} % of the posterior"
        )
        parts.append(part_of(mode["parameters"], title))
    facts = {}
    combined = summary["combined"]
    if combined is not None:
        evidence, k = combined["evidence"], combined["pareto_k"]
        facts["log evidence"] = f"{evidence['log_evidence']:.4f} ± {evidence['error']:.4f}"
        facts["n_eff"] = f"{combined['n_eff']:,.0f} of {combined['n']:,} draws ({100 * combined['efficiency']:.1f} %)"
        facts["pareto k"] = "unknown" if k is None else f"{k:.2f}"
    facts["simulations"] = f"{summary['simulations']:,}"
    facts["status"] = status
    return Table(parts, facts, list(summary["warnings"]))


def part_of(parameters: Sequence[Mapping[str, Any]], title: str) -> Part:
    rows = [[one["name"], *(digits(one[key], one["sd"]) for key in COLUMNS)] for one in parameters]
    return Part(title, ["parameter", *COLUMNS.values()], rows)


def digits(value: float | None, sd: float | None) -> str:
    """A number with as many digits as tell something next to a standard deviation."""
    if value is None or not math.isfinite(value):
        return "-" if value is None else str(value)
    if not sd or not math.isfinite(sd):
        return f"{value:.6g}"
    decimals = 1 - math.floor(math.log10(sd))
    if (abs(value) >= 1e6 and decimals <= 0) or decimals > 6:
        return f"{value:.{max(1, decimals + math.floor(math.log10(abs(value) or 1)))}e}"
    return f"{value:.{max(0, decimals)}f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.ljust(width) if j == 0 else cell.rjust(width) for j, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]


def html_of(table: Table) -> str:
    """The same for a notebook."""
    text = html.escape
    pieces = []
    if table.reasons:
        items = "".join(f"<li>{text(reason)}</li>" for reason in table.reasons)
        pieces.append(f"<p><b>NOT TO BE TRUSTED</b></p><ul>{items}</ul>")
    for part in table.parts:
        header = "".join(f"<th>{text(cell)}</th>" for cell in part.header)
        rows = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in part.rows)
        caption = f"<caption>{text(part.title)}</caption>" if part.title else ""
        pieces.append(f"<table>{caption}<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>")
    facts = "".join(f"<tr><td>{text(name)}</td><td>{text(value)}</td></tr>" for name, value in table.facts.items())
    pieces.append(f"<table><tbody>{facts}</tbody></table>")
    return "".join(pieces)
