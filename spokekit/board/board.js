// Asks every two seconds for the parts of the page that change, and changes only what has: where the keyboard is, what
// is open and how far somebody has scrolled stays.
const address = new URL(location.href);
address.searchParams.set("live", "1");
address.hash = "";
const late = document.getElementById("late");

function same(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE) { old.data = fresh.data; return; }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  // What somebody has opened stays open.
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  if (fresh.tagName === "TBODY" && [...fresh.children].every((one) => one.id)) { sorted(old, fresh); return; }
  const before = [...old.childNodes], after = [...fresh.childNodes];
  if (before.length === after.length && before.every((one, at) => one.nodeName === after[at].nodeName)) {
    before.forEach((one, at) => same(one, after[at]));
    return;
  }
  const here = old.contains(document.activeElement);
  old.replaceChildren(...document.importNode(fresh, true).childNodes);
  if (here) old.closest("tr")?.querySelector("a")?.focus({ preventScroll: true });
}

function sorted(old, fresh) {
  const wanted = new Set([...fresh.children].map((one) => one.id));
  for (const one of [...old.children]) if (!wanted.has(one.id)) one.remove();
  // The row with the keyboard in it is never moved: the others are moved around it.
  const fixed = [...old.children].find((one) => one.contains(document.activeElement));
  const place = fixed && [...fresh.children].findIndex((one) => one.id === fixed.id);
  let before = null;
  [...fresh.children].reverse().forEach((one, back) => {
    let row = document.getElementById(one.id);
    if (row) same(row, one);
    else row = document.importNode(one, true);
    const at = fresh.children.length - 1 - back;
    if (fixed && at === place) { before = fixed; return; }
    const next = row.parentNode === old ? row.nextElementSibling : undefined;
    if (next !== before) old.insertBefore(row, before);
    before = row;
  });
}

async function look() {
  try {
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (old) same(old, part);
    }
    late.hidden = true;
  } catch {
    late.hidden = false;
  }
  setTimeout(look, document.hidden ? 10000 : 2000);
}
setTimeout(look, 2000);
