// Where the keyboard goes on when the control that it was on goes away or cannot be used any more: a button is disabled
// while it works, is hidden with what it was about, or its row is gone. A browser then leaves the focus nowhere.
// In this order: the control itself, as soon as it can be used again; the first field, primary button or link that
// appeared; the status line, if it says something new; the nearest control before it, or after it. Whatever the person
// does goes first.
const USABLE = "select, input, textarea, button, a[href], summary";
const LEADS = "select, input, textarea, button.sk-primary, a.sk-button";
// Milliseconds in which the messages of one answer from Python come one after the other.
const TOGETHER = 250;

// On the window, since each component has a copy of this module. When the person pressed something last, when they
// scrolled by themselves, and which control the keyboard is on.
const moments = (window.__spokekitMoments ??= { pressed: 0, scrolled: 0, at: null, keyboard: false });

const visible = (node) => node.isConnected && node.getClientRects().length > 0;
const usable = (control) => visible(control) && !control.disabled && !control.closest("[inert]");
const usableIn = (part) => [...part.querySelectorAll(USABLE)].filter(usable);

function remember(control) {
  const parts = [];
  for (let part = control.closest(".spokekit"); part; part = part.parentElement?.closest(".spokekit")) parts.push(part);
  moments.at = { control, parts, there: usableIn(parts.at(-1)), said: statusOf(parts)?.textContent, led: null };
}

function watchKeyboard() {
  window.addEventListener("pointerdown", () => Object.assign(moments, { at: null, keyboard: false }), true);
  window.addEventListener("keydown", (event) => {
    moments.keyboard = true;
    const control = event.target?.closest?.(`.spokekit :is(${USABLE}, [tabindex])`);
    // Tab goes on from where the browser last knew the keyboard to be; other keys that go nowhere change nothing.
    if (event.key === "Tab" || (!control && event.target !== document.body)) moments.at = null;
    if (control && (["Enter", " "].includes(event.key) || moments.at?.led)) remember(control);
  }, true);
  window.addEventListener("focusin", (event) => {
    const control = event.target?.closest?.(`.spokekit :is(${USABLE}, [tabindex])`);
    if (control && moments.keyboard && control !== moments.at?.led && control !== moments.at?.control) remember(control);
  }, true);
}

function lost({ control, led }) {
  const now = document.activeElement;
  if (now === control) return !usable(control);
  return !now || now === led || now === document.body;
}

function keepFocus() {
  const { at } = moments;
  if (!at || !lost(at)) return;
  if (usable(at.control)) {
    at.led = null;
    at.control.focus({ preventScroll: true });
    return;
  }
  clearTimeout(moments.going);
  moments.going = setTimeout(goOn, TOGETHER);
}

function goOn() {
  const { at } = moments;
  if (!at || !lost(at) || usable(at.control)) return;
  const parts = at.parts.filter(visible);
  if (!parts.length) return;
  const working = [...parts[0].querySelectorAll(".sk-work")].some(visible);
  if (working && visible(at.control)) return;
  const appeared = usableIn(parts[0]).find((control) => control.matches(LEADS) && !at.there.includes(control));
  const next = appeared ?? (working ? null : answerIn(parts, at) ?? nearest(at) ?? statusOf(parts));
  if (!next || next === at.led) return;
  at.led = next;
  if (!next.matches(USABLE)) next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function statusOf(parts) {
  for (const part of parts)
    for (const line of part.querySelectorAll(".sk-status .widget-html-content"))
      if (line.closest(".spokekit") === part && visible(line) && line.textContent.trim()) return line;
}

function answerIn(parts, { said }) {
  const line = statusOf(parts);
  return line && line.textContent !== said ? line : null;
}

function nearest({ control, parts, there }) {
  const index = there.indexOf(control);
  if (index < 0) return usableIn(parts.find(visible))[0];
  return there.slice(0, index).findLast(usable) ?? there.slice(index + 1).find(usable);
}
