// Keeps JupyterLab's notebook shortcuts away from the controls of one component, and names its live parts for
// screen readers. Measured: with a focused <select>, JupyterLab takes the arrows, "b" inserts a cell and "d d"
// deletes the cell with the component; only the attribute on the control itself stops it.
const ATTRIBUTE = "data-lm-suppress-shortcuts";
const CONTROLS = "select, input, textarea, button, a, summary, [tabindex]";

function guard(node) {
  if (node.matches?.(CONTROLS)) node.setAttribute(ATTRIBUTE, "true");
  node.querySelectorAll?.(CONTROLS).forEach((control) => control.setAttribute(ATTRIBUTE, "true"));
}

function name(root, label) {
  root.setAttribute("role", "group");
  if (label) root.setAttribute("aria-label", label);
  root.querySelectorAll(".sk-status .widget-html-content").forEach((line) => {
    line.setAttribute("role", "status");
    line.setAttribute("aria-live", "polite");
  });
}

// Saving must go on working from inside a field: the attribute is taken off for that one event.
function beforeShortcuts(event) {
  const control = event.target;
  if (!control?.matches?.(CONTROLS) || !control.closest(".spokekit")) return;
  const saving = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  if (saving) control.removeAttribute(ATTRIBUTE);
  else control.setAttribute(ATTRIBUTE, "true");
}

function render({ model, el }) {
  let observer, waiting, gone = false;
  el.style.display = "none";
  if (!window.__spokekitGuard) {
    window.__spokekitGuard = true;
    window.addEventListener("keydown", beforeShortcuts, true);
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
    name(root, model.get("label"));
    observer = new MutationObserver((changes) => {
      for (const change of changes) change.addedNodes.forEach(guard);
      name(root, model.get("label"));
    });
    observer.observe(root, { childList: true, subtree: true });
  }
  attach();
  return () => {
    gone = true;
    clearTimeout(waiting);
    observer?.disconnect();
  };
}

export default { render };
