"""A report as one HTML file: no script, no request to anywhere, light or dark as its reader likes it, fit to be printed."""

from __future__ import annotations

from html import escape

from costmon.report.document import (
    Block,
    Document,
    Events,
    Items,
    Paragraph,
    Said,
    Table,
    Text,
    harmless,
    plain,
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --dim: #5c6772; --edge: #d5d0c3; --back: #fbfaf6; --box: #f0ede4;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #d8dee6; --dim: #93a0b0; --edge: #2c3947; --back: #0e1218;
  --box: #19212b; --bad: #f0716d; } }
@media print { :root { --ink: #000; --dim: #444; --edge: #999; --back: #fff; --box: #fff; --bad: #000; } }
body { margin: 2rem auto; max-width: 54rem; padding: 0 1rem; color: var(--ink); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid var(--edge); }
h1, h2, tr, li { break-inside: avoid; } h2 { break-after: avoid; }
p.grave { color: var(--bad); font-weight: 600; }
code { font: .93em ui-monospace, monospace; background: var(--box); border-radius: 3px; padding: 0 .25em;
  overflow-wrap: anywhere; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--edge); vertical-align: top; }
th { color: var(--dim); font-weight: 600; } .number { text-align: right; }
td.time { color: var(--dim); white-space: nowrap; }
@media print { div.wide { overflow: visible; } body { margin: 0; max-width: none; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(document: Document) -> str:
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escape(plain(document.title))}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{_inline(document.title)}</h1>",
        *(_block(block) for block in document.lead),
    ]
    for section in document.sections:
        parts += [f"<h2>{escape(section.title)}</h2>", *(_block(block) for block in section.blocks)]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, grave):
            return ('<p class="grave">' if grave else "<p>") + _inline(text) + "</p>"
        case Items(items):
            return "<ul>\n" + "\n".join(f"<li>{_inline(item)}</li>" for item in items) + "\n</ul>"
        case Events(rows):
            body = (
                f'<tr><td class="time">{escape(time)}</td><td>{_inline(text)}</td></tr>'
                for time, text in rows
            )
            return '<div class="wide"><table>\n' + "\n".join(body) + "\n</table></div>"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    rows = [
        "<tr>"
        + "".join(f"<th{_class(table, at)}>{escape(head)}</th>" for at, head in enumerate(table.heads))
        + "</tr>"
    ]
    for row in table.rows:
        rows.append(
            "<tr>"
            + "".join(f"<td{_class(table, at)}>{_inline(cell)}</td>" for at, cell in enumerate(row))
            + "</tr>"
        )
    return '<div class="wide"><table>\n' + "\n".join(rows) + "\n</table></div>"


def _class(table: Table, at: int) -> str:
    return ' class="number"' if at in table.right else ""


def _inline(text: Text) -> str:
    return "".join(
        f"<code>{escape(harmless(part))}</code>" if isinstance(part, Said) else escape(part) for part in text
    )
