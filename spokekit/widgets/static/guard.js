// Keeps JupyterLab's notebook shortcuts away from the controls of one component, and names its live parts for
// screen readers. Measured: with a focused <select>, JupyterLab takes the arrows, "b" inserts a cell and "d d"
// deletes the cell with the component; only the attribute on the control itself stops it.
// It also leads links to other notebooks through JupyterLab, says that Python was restarted, and keeps in view what
// was just run or said.
const ATTRIBUTE = "data-lm-suppress-shortcuts";
const CONTROLS = "select, input, textarea, button, a, summary, [tabindex]";
const GONE = "jupyter-widgets-disconnected";
const GONE_WORDS = "Python was restarted: Run > Run All Cells.";

function guard(node) {
  if (node.matches?.(CONTROLS)) node.setAttribute(ATTRIBUTE, "true");
  node.querySelectorAll?.(CONTROLS).forEach((control) => control.setAttribute(ATTRIBUTE, "true"));
}

// Where a notebook lies that is named from a folder; null above JupyterLab's own folder.
function within(folder, notebook) {
  const parts = [];
  for (const part of (folder + notebook).split("/")) {
    if (part === "..") {
      if (!parts.length) return null;
      parts.pop();
    } else if (part && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

// JupyterLab opens a notebook through its own handler of links, as from text: the page is not loaded anew and this
// notebook goes on running. Its attributes for commands would ask for leave first. Elsewhere a link is what it is.
function lead(node, manager) {
  const handler = manager?.rendermime?.linkHandler, path = manager?.context?.path;
  if (!handler || path === undefined) return;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const links = [...(node.matches?.("a[data-notebook]") ? [node] : []), ...(node.querySelectorAll?.("a[data-notebook]") ?? [])];
  for (const link of links) {
    if (link.dataset.led) continue;
    link.dataset.led = "true";
    const target = within(folder, link.dataset.notebook);
    // What lies above the folder that JupyterLab shows, it cannot open.
    if (target !== null) handler.handleLink(link, target, "");
  }
}

function name(root, label) {
  if (label) {
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", label);
  }
  root.querySelectorAll(".sk-status .widget-html-content").forEach((line) => {
    line.setAttribute("role", "status");
    line.setAttribute("aria-live", "polite");
  });
}

// ipywidgets marks each view of a kernel that has gone; one sentence says it for all of them.
function tellGone(root) {
  const gone = root.classList.contains(GONE) && !root.parentElement?.closest(".spokekit");
  let said = root.querySelector(":scope > .sk-gone");
  if (gone === Boolean(said)) return;
  for (const child of root.children) child.inert = gone;
  if (!gone) {
    said.remove();
    return;
  }
  said = document.createElement("p");
  said.className = "sk-gone";
  said.setAttribute("role", "status");
  said.textContent = GONE_WORDS;
  root.prepend(said);
}

// Saving must go on working from inside a field: the attribute is taken off for that one event.
function beforeShortcuts(event) {
  const control = event.target;
  if (!control?.matches?.(CONTROLS) || !control.closest(".spokekit")) return;
  const saving = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  if (saving) control.removeAttribute(ATTRIBUTE);
  else control.setAttribute(ATTRIBUTE, "true");
}

// --- what matters is in view -----------------------------------------------------------------------------------------
function watchPerson() {
  // The press that brought the first component was made before this was here.
  moments.pressed = performance.now();
  const pressed = () => (moments.pressed = performance.now());
  const scrolled = () => (moments.scrolled = performance.now());
  window.addEventListener("click", pressed, true);
  window.addEventListener("keydown", (event) => {
    if (["PageDown", "PageUp"].includes(event.key)) scrolled();
    else pressed();
  }, true);
  window.addEventListener("wheel", scrolled, { capture: true, passive: true });
  window.addEventListener("touchmove", scrolled, { capture: true, passive: true });
}

const SOON = 15000; // milliseconds in which a press and what it brought belong together

function waitsForAnswer() {
  return moments.scrolled < moments.pressed && performance.now() - moments.pressed < SOON;
}

const OPEN = ".jp-NotebookPanel:not(.lm-mod-hidden) ";

// A component that has just come. After Shift+Enter its cell is the one before the active one; after Run All, which
// ends at the last cell, what matters is the first component in which a step is done.
function showNew(root) {
  const cell = root.closest(".jp-Cell");
  if (!cell || !waitsForAnswer() || root.parentElement?.closest(".spokekit")) return;
  const cells = [...document.querySelectorAll(`${OPEN}.jp-Cell`)];
  const active = cells.findIndex((one) => one.classList.contains("jp-mod-active"));
  const first = document.querySelector(`${OPEN}.spokekit.sk-placed`);
  const ranAlone = active === cells.indexOf(cell) || active === cells.indexOf(cell) + 1;
  if (ranAlone || (active === cells.length - 1 && root === first)) intoView(root);
}

// Until the cells have run: what comes above it meanwhile, and JupyterLab's own move to the last cell, must not push it
// out again. Whatever the person does ends it.
function intoView(node) {
  const { pressed, scrolled } = moments;
  const most = performance.now() + 60000;
  let until = most;
  (function keep() {
    const now = performance.now();
    if (!node.isConnected || moments.pressed !== pressed || moments.scrolled !== scrolled || now > until) return;
    const idle = document.querySelector(`${OPEN}.jp-Notebook-ExecutionIndicator`)?.dataset.status !== "busy";
    until = idle ? Math.min(until, now + 1000) : most;
    node.scrollIntoView({ block: node.offsetHeight > window.innerHeight * 0.6 ? "start" : "nearest" });
    setTimeout(keep, 150);
  })();
}

// A new word in the status line of the component in which the person pressed last.
function showWord(line) {
  const root = line.closest(".spokekit");
  if (!waitsForAnswer() || !root?.contains(document.activeElement)) return;
  (root.querySelector(":scope > .sk-foot") ?? line).scrollIntoView({ block: "nearest" });
}

// The buttons inside tables are markup, not widgets: an id is copied, the rows that are folded are shown.
async function pressed(event) {
  const button = event.target?.closest?.(".spokekit :is(.sk-copy-id, .sk-more)");
  if (!button) return;
  if (button.matches(".sk-copy-id")) {
    button.textContent = (await copy(button.dataset.skCopy)) ? "copied" : "not copied";
    button.focus();
    setTimeout(() => (button.textContent = "copy"), 2000);
    return;
  }
  const table = button.previousElementSibling;
  button.dataset.words ??= button.textContent;
  button.textContent = table.classList.toggle("sk-all") ? "Show fewer rows" : button.dataset.words;
}

function render({ model, el }) {
  let observer, waiting, gone = false;
  el.style.display = "none";
  if (!window.__spokekitGuard) {
    window.__spokekitGuard = true;
    window.addEventListener("keydown", beforeShortcuts, true);
    watchPerson();
    watchKeyboard();
    document.addEventListener("click", pressed);
  }
  const manager = model.widget_manager;
  function look(change) {
    const root = el.closest(".spokekit");
    if (change.type === "attributes") return tellGone(root);
    for (const node of change.addedNodes) {
      guard(node);
      lead(node, manager);
    }
    const line = change.target.closest?.(".sk-status");
    if (line?.closest(".spokekit") === root && change.addedNodes.length) showWord(line);
  }
  // Enter says what stands in the field: the kernel may not have the last letters yet.
  function entered(event) {
    const field = event.target;
    if (event.key !== "Enter" || event.isComposing || !field.matches?.('input[type="text"]')) return;
    if (field.closest(".spokekit") !== el.closest(".spokekit")) return;
    model.send({ kind: "enter", label: field.labels?.[0]?.textContent ?? "", value: field.value });
  }
  function attach() {
    if (gone) return;
    const root = el.closest(".spokekit");
    if (!root) {
      // The view is placed into the page after it was rendered; a timer also runs in a hidden tab.
      waiting = setTimeout(attach, 30);
      return;
    }
    guard(root);
    lead(root, manager);
    name(root, model.get("label"));
    tellGone(root);
    observer = new MutationObserver((changes) => {
      changes.forEach(look);
      name(root, model.get("label"));
    });
    observer.observe(root, { childList: true, subtree: true });
    const classes = new MutationObserver((changes) => changes.forEach(look));
    classes.observe(root, { attributes: true, attributeFilter: ["class"] });
    const there = new MutationObserver(keepFocus);
    there.observe(root, { attributes: true, attributeFilter: ["disabled", "style", "hidden"], childList: true, subtree: true });
    // On the way down: ipywidgets lets no key of a text field bubble.
    root.addEventListener("keydown", entered, true);
    const all = [observer, classes, there];
    observer = {
      disconnect: () => {
        all.forEach((one) => one.disconnect());
        root.removeEventListener("keydown", entered, true);
      },
    };
    showNew(root);
  }
  attach();
  return () => {
    gone = true;
    clearTimeout(waiting);
    observer?.disconnect();
  };
}

export default { render };
