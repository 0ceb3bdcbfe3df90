#include "mc/report/html.h"

namespace mc {

const char* page_style() {
  return R"css(
:root {
  color-scheme: light dark;
  --page: #f4f5f8; --card: #ffffff; --line: #e3e6ec; --text: #1a2130; --soft: #5d6880; --faint: #8a94a8;
  --good: #0f7b55; --good-back: #e2f5ed; --bad: #b3261e; --bad-back: #fdeceb; --band: #f1f3f8;
  --c0: #7c8aa5; --c1: #2563eb; --c2: #d97706; --c3: #0d9488; --c4: #9333ea; --c5: #db2777;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f131b; --card: #171d28; --line: #2a3242; --text: #e8ecf4; --soft: #a4afc4; --faint: #76829b;
    --good: #5fd3a6; --good-back: #12352a; --bad: #ff9d94; --bad-back: #43201e; --band: #1d2533;
    --c0: #94a3bd; --c1: #6aa1ff; --c2: #f2a541; --c3: #3cc9bb; --c4: #bd86f9; --c5: #f472b6;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1120px; margin: 0 auto; padding: 40px 20px 56px; }
header { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin-bottom: 26px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0; overflow-wrap: anywhere; }
header p { flex-basis: 100%; margin: 0; color: var(--soft); }
h2 { font-size: 19px; letter-spacing: -0.01em; margin: 0 0 2px; }
.lead { margin: 0 0 16px; color: var(--soft); max-width: 75ch; }
.badge { font-size: 13px; font-weight: 600; border-radius: 999px; padding: 3px 12px; }
.badge.good { color: var(--good); background: var(--good-back); }
.badge.bad { color: var(--bad); background: var(--bad-back); }
section, .tile {
  background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  box-shadow: 0 1px 2px rgb(15 23 42 / 4%);
}
section { padding: 24px 26px; margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(195px, 1fr)); gap: 14px; }
.tile { padding: 16px 18px; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 0; }
.tile .value { font-size: 28px; font-weight: 650; letter-spacing: -0.02em; line-height: 1.3; }
.tile .detail { color: var(--soft); font-size: 13px; line-height: 1.4; }
dl { margin: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 20px 28px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: 6px; }
figcaption span { color: var(--soft); font-weight: 400; }
.scroll { overflow-x: auto; }
.scroll + .scroll, .scroll + .columns, .columns + .scroll { margin-top: 22px; }
svg { display: block; width: 100%; max-width: 620px; height: auto; min-width: 440px; }
svg text { fill: var(--soft); font-size: 12px; font-family: inherit; }
svg .strong { fill: var(--text); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--faint); stroke-width: 1; }
svg .band { fill: var(--band); }
svg .rail { fill: var(--band); }
.k0 { --k: var(--c0); } .k1 { --k: var(--c1); } .k2 { --k: var(--c2); }
.k3 { --k: var(--c3); } .k4 { --k: var(--c4); } .k5 { --k: var(--c5); }
svg .line { fill: none; stroke: var(--k); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .spread { fill: var(--k); opacity: 0.16; stroke: none; }
svg .fill { fill: var(--k); }
svg .dot { fill: var(--card); stroke: var(--k); stroke-width: 2; }
svg .tick { stroke: var(--k); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 14px; padding: 0; list-style: none; color: var(--soft);
  font-size: 13px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; background: var(--k); margin-right: 7px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; font-weight: 600; padding-bottom: 8px; }
caption.unseen { position: absolute; width: 1px; height: 1px; padding: 0; overflow: hidden; clip-path: inset(50%); }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { padding-left: 2px; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; vertical-align: bottom; }
tbody th { font-weight: 550; }
.num { text-align: right; }
td.good, td.bad { font-weight: 600; }
td.good { color: var(--good); }
td.bad { color: var(--bad); }
td.muted, th.muted { color: var(--faint); font-weight: 400; white-space: normal; min-width: 16em; }
pre { margin: 0; overflow-x: auto; font: 13px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  tab-size: 2; }
pre .key { color: var(--c1); }
pre .note { color: var(--faint); }
details > summary { cursor: pointer; color: var(--soft); margin-bottom: 10px; }
.note-line { color: var(--soft); font-size: 13px; margin: 12px 0 0; }
.note-line + .scroll { margin-top: 22px; }
footer { color: var(--faint); font-size: 13px; margin-top: 26px; }
@media (max-width: 620px) { main { padding: 24px 12px 40px; } section { padding: 18px 16px; } h1 { font-size: 24px; } }
@media print {
  body { background: #fff; }
  section, .tile { box-shadow: none; break-inside: avoid; }
}
)css";
}

}  // namespace mc
