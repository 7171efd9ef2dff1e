# ruff: noqa: E501 (one CSS rule a line)
"""The page's style sheet: one column, quiet colours that follow the reader's light or dark setting, figures in tabular numerals."""

CSS = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2125; --muted: #5d656d; --rule: #e3e0d8; --accent: #1d5c85; --tint: #f1f4f5;
  --c0: #22679c; --c1: #c0571c; --c2: #868d94; --c3: #a08f6c; --c4: #3b8260; --c5: #8a5aa8; --c6: #a83f54; --c7: #4c6a70;
  --r0: #d9a53c; --r1: #cb7a50; --r2: #a2577a; --r3: #644d94; --r4: #1f4486; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15181b; --card: #1b1f23; --ink: #e7e4de; --muted: #a0a7ae; --rule: #31363b; --accent: #86c2e8; --tint: #20262a;
  --c0: #6db2e4; --c1: #ee9a5d; --c2: #8d959d; --c3: #a39470; --c4: #74c39a; --c5: #c49de0; --c6: #ea8b9c; --c7: #8fb2b8;
  --r0: #f2d38c; --r1: #e89f72; --r2: #d0789a; --r3: #9f83d6; --r4: #6f9ff0; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 400 1.0625rem/1.6 -apple-system, "Segoe UI", Roboto, Inter, "Noto Sans", "Helvetica Neue", "Liberation Sans", Arial, system-ui, sans-serif; }
.page { max-width: 72rem; margin: 0 auto; padding: 4rem 2rem 6rem; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; font-weight: 600; letter-spacing: -0.012em; }
h1 { font-size: clamp(1.9rem, 1.3rem + 2.6vw, 2.9rem); margin: 0.3rem 0 1rem; max-width: 22em; }
h2 { font-size: 1.6rem; margin: 0 0 0.75rem; }
h3 { font-size: 1.08rem; margin: 2.25rem 0 0.6rem; }
p { max-width: 42rem; margin: 0 0 1rem; text-wrap: pretty; }
.lead { font-size: 1.2rem; line-height: 1.5; }
.eyebrow, .note, figcaption, .cap, .sub { color: var(--muted); }
.eyebrow { margin: 0; font-size: 0.95rem; }
.note, figcaption, .cap { font-size: 0.9rem; line-height: 1.5; }
a { color: var(--accent); text-underline-offset: 0.18em; text-decoration-thickness: 0.06em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 2px; }
section { margin-top: 4.5rem; padding-top: 2rem; border-top: 1px solid var(--rule); }
code, .mono { font: 0.86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.35rem 1.4rem; margin: 1.75rem 0 0; padding: 0; font-size: 0.97rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.25rem 2rem; margin: 2.25rem 0 0; }
.facts div { border-top: 2px solid var(--rule); padding-top: 0.5rem; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.facts dt { color: var(--muted); font-size: 0.9rem; line-height: 1.4; }
.facts dd { margin: 0; font-size: 1.65rem; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.read { background: var(--tint); border-radius: 10px; padding: 1.2rem 1.5rem; margin: 2.5rem 0 0; max-width: 52rem; }
.read h2 { font-size: 1.05rem; margin: 0 0 0.5rem; }
.read ul { margin: 0; padding-left: 1.1rem; font-size: 0.97rem; }
.read li + li { margin-top: 0.35rem; }
.scroll { overflow-x: auto; margin: 0.2rem 0 1.5rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.95rem; font-variant-numeric: tabular-nums; }
.cap { margin: 1.5rem 0 0; }
th, td { padding: 0.5rem 0.9rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper); }
tr.group th { position: static; } tr.group span { position: sticky; left: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: 0.86rem; vertical-align: bottom; }
tbody th { font-weight: 500; }
tr.group th { color: var(--muted); font-size: 0.86rem; font-weight: 500; padding-top: 1.3rem; }
tr.baseline th, tr.baseline td { color: var(--muted); font-weight: 400; }
td.text { text-align: left; white-space: normal; }
.sub { display: block; font-size: 0.82em; font-weight: 400; }
.dot { display: inline-block; width: 0.62em; height: 0.62em; border-radius: 50%; margin-right: 0.55em; }
.plots { display: grid; gap: 1.5rem 2rem; margin: 1.25rem 0; }
.plots.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.plots.three { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.key { white-space: nowrap; margin-right: 0.7em; }
.plots.four { grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }
figure { margin: 0; min-width: 0; }
.plot { display: block; width: 100%; height: auto; max-width: 36rem; }
.plate { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
.plot * { stroke-linejoin: round; }
figcaption { margin-top: 0.35rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.9rem; margin: 1rem 0 2rem; align-items: end; }
.sheet { margin-top: 1.25rem; }
.sheet .row { display: grid; grid-template-columns: 11rem repeat(var(--n), 1fr); gap: 0.5rem 0.7rem; padding: 0.7rem 0; }
.sheet .row + .row { border-top: 1px solid var(--rule); }
.sheet .name { font-weight: 600; font-size: 0.95rem; line-height: 1.35; }
.sheet .name span { display: block; font-weight: 400; }
.sheet .head { color: var(--muted); font-size: 0.86rem; }
.sheet .head div { align-self: end; }
.sheet figcaption, .tiles figcaption { font-size: 0.8rem; line-height: 1.35; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.sheet figcaption span { margin-right: 0.6em; display: inline-block; }
.sheet figcaption span:first-child { color: var(--ink); font-weight: 500; }
img { display: block; width: 100%; height: auto; border-radius: 3px; background: var(--rule); }
details { border-top: 1px solid var(--rule); padding: 0.8rem 0; }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; font-weight: 500; }
details[open] summary { margin-bottom: 0.8rem; }
.keys { columns: 22rem; column-gap: 3rem; margin: 0; }
.keys div { display: flex; justify-content: space-between; gap: 1.5rem; padding: 0.22rem 0; break-inside: avoid; font-size: 0.92rem; }
.keys dt { color: var(--muted); }
.keys dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
@media (max-width: 44rem) {
  body { font-size: 1rem; }
  .page { padding: 2.25rem 1rem 4rem; }
  section { margin-top: 3.25rem; padding-top: 1.6rem; }
  .read { padding: 1rem 1.1rem; }
  .facts { grid-template-columns: 1fr 1fr; gap: 1rem 1.25rem; }
  .facts dd { font-size: 1.35rem; }
  .sheet .row { grid-template-columns: repeat(var(--n), 1fr); gap: 0.4rem 0.35rem; }
  .sheet .name { grid-column: 1 / -1; }
  .sheet .name span { display: inline; margin-left: 0.5em; }
  .sheet figcaption, .tiles figcaption { font-size: 0.7rem; }
  .sheet .head .name { display: none; }
  .sheet figcaption span { display: block; margin: 0; }
  .plots.four { grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1.25rem 1rem; }
  .tiles { grid-template-columns: repeat(3, 1fr); gap: 0.6rem; }
  th, td { padding: 0.45rem 0.6rem; }
}
@media print { .page { max-width: none; padding: 0; } nav { display: none; } section { break-inside: auto; } }
"""
