"""The style of the page: light and dark, wide and narrow."""

from typing import Final

STYLE: Final = """\
:root {
  --paper: #fbfbfa; --card: #fff; --ink: #1d2326; --faint: #5d686e; --line: #dfe3e4;
  --accent: #0b6e5b; --code: #f1f4f3; --get: #1f6fb2; --post: #1a7f4b; --patch: #9a6200;
  --delete: #b3372f; --key: #7a3e9d; --text: #1a6e45; --number: #a2521a;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121617; --card: #181d1f; --ink: #e3e8e8; --faint: #98a4a7; --line: #2b3336;
    --accent: #55cbb0; --code: #1e2527; --get: #6db7f2; --post: #63cf95; --patch: #e2b35a;
    --delete: #f08a81; --key: #cf9df0; --text: #86d8a8; --number: #f0ab77;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
a { color: var(--accent); text-underline-offset: 0.15em; }
code, pre { font-family: var(--mono); font-size: 0.875em; }
p code, dd div code { background: var(--code); border-radius: 4px; padding: 0.1em 0.3em; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 0.5rem; }
h2 { font-size: 1.4rem; margin: 0 0 0.25rem; }
h3 { font-size: 1.1rem; margin: 0 0 0.75rem; overflow-wrap: anywhere; }
h4 {
  color: var(--faint); font-size: 0.75rem; letter-spacing: 0.06em; margin: 1.25rem 0 0.25rem;
  text-transform: uppercase;
}
p { margin: 0 0 0.75rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: 0.5rem; z-index: 2; }
#menu { position: absolute; opacity: 0; }
label[for="menu"] { display: none; }
nav {
  border-right: 1px solid var(--line); height: 100vh; left: 0; overflow-y: auto;
  overscroll-behavior: contain; padding: 1.25rem 1rem 2rem; position: fixed; top: 0; width: 19rem;
}
nav h2 { color: var(--faint); font-size: 0.8rem; margin: 1.25rem 0 0.25rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { color: inherit; display: block; text-decoration: none; }
nav li a {
  border-radius: 6px; font-size: 0.85rem; overflow-wrap: anywhere; padding: 0.15rem 0.5rem;
}
nav li a:hover { background: var(--code); }
nav .brand { color: var(--accent); font-size: 1.15rem; font-weight: 700; }
main { margin-left: 19rem; max-width: 82rem; padding: 2rem 2.5rem 6rem; }
.sides { display: grid; gap: 1.5rem 2.5rem; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.part { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 2rem; }
article {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin-top: 1.25rem;
  padding: 1.25rem 1.5rem;
}
article:target { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
h3 a { font-weight: 400; margin-left: 0.5rem; opacity: 0; text-decoration: none; }
article:hover h3 a, h3 a:focus { opacity: 1; }
#part-shapes .sides { display: block; }
.verb { display: inline-block; font: 700 0.7rem/1 var(--mono); letter-spacing: 0.03em; }
nav li a:has(.verb) { align-items: baseline; display: flex; gap: 0.25rem; }
nav .verb { flex: 0 0 3.1rem; }
h3 .verb { border: 1px solid; border-radius: 4px; margin-right: 0.25rem; padding: 0.25rem 0.4rem; }
.get { color: var(--get); } .post { color: var(--post); }
.patch { color: var(--patch); } .delete { color: var(--delete); }
.roles { display: flex; flex-wrap: wrap; gap: 0.35rem; list-style: none; margin: 0; padding: 0; }
.roles li {
  border: 1px solid var(--line); border-radius: 99px; color: var(--faint); font-size: 0.78rem;
  padding: 0.05rem 0.6rem;
}
dl { margin: 0; }
dl > div { border-top: 1px solid var(--line); padding: 0.5rem 0; }
dl > div:first-child { border-top: 0; }
dd { margin: 0; }
.choices { list-style: none; margin: 0.25rem 0 0; padding: 0; }
.choices li { margin-top: 0.15rem; }
.fields > div { display: grid; gap: 0 1rem; grid-template-columns: 9.5rem minmax(0, 1fr); }
.fields dt { overflow-wrap: anywhere; }
.fields dt code { font-weight: 600; }
.fields dd { font-size: 0.92rem; }
.type, .by { color: var(--faint); font-size: 0.85rem; }
.required, .optional { display: block; font-size: 0.72rem; }
.required { color: var(--delete); }
.optional { color: var(--faint); }
.answers > div { display: grid; gap: 0 1rem; grid-template-columns: 2.5rem minmax(0, 1fr); }
.answers { font-size: 0.9rem; }
.answers dt { font-weight: 600; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--faint); font-size: 0.75rem; margin-bottom: 0.25rem; }
pre {
  background: var(--code); border-radius: 8px; line-height: 1.5; margin: 0; max-height: 32rem;
  overflow: auto; padding: 0.75rem 1rem;
}
.key { color: var(--key); } .text { color: var(--text); } .number { color: var(--number); }
.note { color: var(--faint); }
@media (max-width: 75rem) {
  .sides { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 56rem) {
  label[for="menu"] {
    background: var(--card); border-bottom: 1px solid var(--line); color: var(--accent);
    cursor: pointer; display: block; font-weight: 600; padding: 0.75rem 1rem; position: sticky;
    top: 0; z-index: 1;
  }
  #menu:focus-visible + label { outline: 2px solid var(--accent); }
  html { scroll-padding-top: 4rem; }
  nav { display: none; height: auto; position: static; width: auto; border: 0; }
  #menu:checked ~ nav { display: block; }
  main { margin: 0; padding: 1.25rem 1rem 4rem; }
  article { padding: 1rem; }
  .fields > div { grid-template-columns: minmax(0, 1fr); }
  .required, .optional { display: inline; margin-left: 0.5rem; }
}
@media print {
  nav, label[for="menu"] { display: none; }
  main { margin: 0; }
  pre { max-height: none; }
}
"""
