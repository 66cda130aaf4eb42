// The page: tabs, one panel at a time, and an address that says which and how its knobs stand.
import { type About, type PanelName, panels } from "./contract.ts";
import { element } from "./dom.ts";
import { Panel, type View } from "./panel.ts";
import { discretizationView } from "./panels/discretization.ts";
import { hippoView } from "./panels/hippo.ts";
import { kernelView } from "./panels/kernel.ts";
import { memoryView } from "./panels/memory.ts";
import { scanView } from "./panels/scan.ts";

const about = (await (await fetch("/api/about")).json()) as About;
const names = Object.keys(panels) as PanelName[];
const tabs = document.getElementById("tabs") as HTMLElement;

let writing: ReturnType<typeof setTimeout> | undefined;
/** Browsers refuse an address that changes too often. */
function remember(): void {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", `#${address(shown)}`), 150);
}

const make = <P extends PanelName>(name: P, view: (panel: () => Panel<P>, about: About) => View<P>): Panel<P> =>
  new Panel(name, (panel) => view(panel, about), about, remember);
const made = {
  discretization: make("discretization", discretizationView),
  hippo: make("hippo", hippoView),
  kernel: make("kernel", kernelView),
  scan: make("scan", scanView),
  memory: make("memory", memoryView),
} as const;
let shown: PanelName = "discretization";

function address(name: PanelName): string {
  const query = made[name].knobs.write().toString();
  return query ? `${name}?${query}` : name;
}

function show(name: PanelName): void {
  shown = name;
  for (const other of names) {
    const tab = document.getElementById(`tab-${other}`) as HTMLElement;
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    if (other === name) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    made[other].box.hidden = other !== name;
  }
  document.title = `${panels[name].title} · statespace explorer`;
  made[name].turn();
}

/** As the address says. */
function follow(): void {
  const [name = "", query = ""] = location.hash.slice(1).split("?", 2);
  const known = names.find((one) => one === name) ?? "discretization";
  if (query || known === name) made[known].knobs.read(new URLSearchParams(query));
  show(known);
}

for (const name of names) {
  const tab = element(
    "button",
    { id: `tab-${name}`, type: "button", role: "tab", "aria-controls": `panel-${name}` },
    panels[name].title,
  );
  tab.addEventListener("click", () => {
    history.pushState(null, "", `#${address(name)}`);
    show(name);
  });
  tabs.append(tab);
}
tabs.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const next = names[(names.indexOf(shown) + by + names.length) % names.length] as PanelName;
  const tab = document.getElementById(`tab-${next}`) as HTMLElement;
  tab.click();
  tab.focus();
});
document.getElementById("panels")?.append(...names.map((name) => made[name].box));
const where = about.model ? ` · ${about.model.folder}` : "";
(document.getElementById("about") as HTMLElement).textContent = `${about.version} · ${about.device}${where}`;
addEventListener("popstate", follow);
addEventListener("hashchange", follow);
follow();
